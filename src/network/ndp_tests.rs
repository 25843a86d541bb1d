//! Frames as the RFCs draw them, and frames that are not.

use proptest::prelude::*;

use super::*;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0x12, 0x3456);
const FRAME_LEN: usize = ETHERNET_HEADER_LEN + IPV6_HEADER_LEN + MESSAGE_LEN + OPTION_LEN;

fn any_frame() -> impl Strategy<Value = NdpFrame> {
    let advertisement = any::<[bool; 2]>().prop_map(|[solicited, overrides]| NdpMessage::Advertisement { solicited, overrides });
    let message = prop_oneof![Just(NdpMessage::Solicitation), advertisement];
    (any::<[[u8; 6]; 2]>(), any::<Option<[u8; 6]>>(), message, any::<[u128; 3]>()).prop_map(
        |(macs, link_layer, message, addresses)| NdpFrame {
            destination: Mac(macs[0]),
            source_mac: Mac(macs[1]),
            source: addresses[0].into(),
            receiver: addresses[1].into(),
            message,
            target: addresses[2].into(),
            link_layer: link_layer.map(Mac),
        },
    )
}

#[test]
fn an_announcement_is_the_advertisement_that_the_rfc_draws() {
    let bytes = NdpFrame::announcement(MAC, ADDRESS).encode();
    let address = ADDRESS.octets();
    let all_nodes = ALL_NODES.octets();
    let drawn = [
        &[0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd][..], // Ethernet, to all nodes
        &[0x60, 0, 0, 0, 0, 32, 58, 255],                            // IPv6: length, ICMPv6, hop limit
        &address,
        &all_nodes,
        &[136, 0],
        &bytes[56..58],            // checksum
        &[0x20, 0, 0, 0],          // override, neither router nor solicited
        &address,                  // target
        &[2, 1, 2, 0, 0, 0, 0, 1], // target link-layer address
    ]
    .concat();
    assert_eq!(bytes, drawn);
}

#[test]
fn a_question_goes_to_those_whose_address_ends_alike_and_names_the_asker() {
    let question = NdpFrame::question(MAC, Ipv6Addr::LOCALHOST, ADDRESS);
    assert_eq!(question.receiver, "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
    assert_eq!(question.destination, Mac([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]));
    assert_eq!(question.link_layer, Some(MAC));
    assert!(question.claims(Ipv6Addr::LOCALHOST) && !question.claims(ADDRESS) && !question.probes(ADDRESS));
}

#[test]
fn a_question_under_no_address_is_a_probe_that_claims_nothing() {
    let probe = NdpFrame::question(MAC, Ipv6Addr::UNSPECIFIED, ADDRESS);
    assert_eq!((probe.owned(), probe.link_layer), (None, None));
    assert!(probe.probes(ADDRESS));
}

#[test]
fn a_frame_that_was_routed_damaged_or_means_something_else_is_ignored() {
    let good = NdpFrame::announcement(MAC, ADDRESS).encode();
    // Ethernet type, version, next header, hop limit, type, code, checksum, target.
    for (place, value) in [(13, 0xde), (14, 0x40), (20, 17), (21, 254), (54, 128), (55, 1), (56, !good[56]), (70, 1)] {
        let mut bytes = good.clone();
        bytes[place] = value;
        assert_eq!(NdpFrame::decode(&bytes), None, "byte {place} = {value:#x}");
    }
}

#[test]
fn an_option_of_any_length_is_skipped_or_ends_the_reading() {
    let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
    let own = [1, 1, 2, 0, 0, 0, 0, 9];
    assert_eq!(find_option(&[nonce, own].concat(), 1), Some(Mac([2, 0, 0, 0, 0, 9])));
    for strange in [&[14, 0, 1, 2][..], &[14, 255, 1, 2], &[1, 1, 2], &[1], &[]] {
        assert_eq!(find_option(strange, 1), None, "{strange:?}");
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(frame in any_frame(), padding in 0..30usize) {
        let mut bytes = frame.encode();
        bytes.resize(bytes.len() + padding, 0);
        prop_assert_eq!(NdpFrame::decode(&bytes), Some(frame));
    }

    #[test]
    fn a_cut_frame_is_ignored(frame in any_frame(), length in 0..FRAME_LEN) {
        let bytes = frame.encode();
        prop_assert_eq!(NdpFrame::decode(&bytes[..length.min(bytes.len() - 1)]), None);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..FRAME_LEN) {
        let _ = NdpFrame::decode(&bytes);
        let mut frame = NdpFrame::announcement(MAC, ADDRESS).encode();
        frame.splice(at.., bytes);
        let _ = NdpFrame::decode(&frame);
    }
}
