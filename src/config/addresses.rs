//! Whether addresses can be service addresses, together and beside what else the file says.

use std::collections::HashSet;
use std::net::IpAddr;

use super::lines::{Refusal, refuse};
use super::{Addresses, Config, limits};

pub(super) fn validate(config: &Config) -> Result<(), Refusal> {
    let Addresses::Alias { interface, main, sub, gateway } = &config.addresses else { return Ok(()) };
    if !is_interface_name(interface) {
        return refuse("addresses.interface", format!("{interface:?} is not an interface name"));
    }
    let mut seen = HashSet::new();
    for (key, addresses) in [("addresses.main", main), ("addresses.sub", sub)] {
        check_number(key, addresses)?;
        for address in addresses.iter() {
            check_service_address(config, key, *address)?;
            if !seen.insert(*address) {
                return refuse(key, format!("{address} is named twice; each service address belongs to one role, once"));
            }
        }
    }
    check_gateways(gateway, &seen)?;
    check_listening(config, &seen)
}

/// What the kernel takes: VLANs (`eth0.100`) and bonds (`bond0`) are interfaces like any other.
fn is_interface_name(name: &str) -> bool {
    let fits = (1..=limits::INTERFACE_NAME_LEN_MAX).contains(&name.len()) && name != "." && name != "..";
    fits && !name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_whitespace())
}

fn check_number(key: &'static str, addresses: &[IpAddr]) -> Result<(), Refusal> {
    match addresses.len() {
        0..=limits::ADDRESSES_PER_ROLE_MAX => Ok(()),
        more => refuse(key, format!("{more} addresses; at most {}", limits::ADDRESSES_PER_ROLE_MAX)),
    }
}

fn check_service_address(config: &Config, key: &'static str, address: IpAddr) -> Result<(), Refusal> {
    if let Some(kind) = why_nobodys(address) {
        return refuse(key, format!("{address} cannot be a service address: it is {kind}"));
    }
    if is_link_local(address) {
        return refuse(key, format!("{address} cannot be a service address: it is link-local, which no router passes on"));
    }
    if [config.peer.listen.ip(), config.peer.address.ip()].contains(&address) {
        return refuse(key, format!("{address} is a server's own fixed address; a service address must be free to move"));
    }
    Ok(())
}

/// A gateway of IPv6 is mostly known by its link-local address.
fn check_gateways(gateways: &[IpAddr], service: &HashSet<IpAddr>) -> Result<(), Refusal> {
    const KEY: &str = "addresses.gateway";
    check_number(KEY, gateways)?;
    let mut seen = HashSet::new();
    for gateway in gateways {
        if let Some(kind) = why_nobodys(*gateway) {
            return refuse(KEY, format!("{gateway} cannot be a gateway: it is {kind}"));
        }
        if service.contains(gateway) {
            return refuse(KEY, format!("{gateway} is one of the pair's own service addresses"));
        }
        if !service.iter().any(|address| address.is_ipv4() == gateway.is_ipv4()) {
            return refuse(KEY, format!("{gateway}: no service address is of its kind, so it has nothing to be told of"));
        }
        if !seen.insert(gateway) {
            return refuse(KEY, format!("{gateway} is named twice"));
        }
    }
    Ok(())
}

/// `0.0.0.0` hears no IPv6; `[::]` hears both.
fn check_listening(config: &Config, service: &HashSet<IpAddr>) -> Result<(), Refusal> {
    let Some(unheard) = service.iter().find(|address| address.is_ipv6()) else { return Ok(()) };
    for (key, listen) in [("terminals.listen", config.terminals.listen), ("http.listen", config.http.listen)] {
        if listen.is_ipv4() {
            let port = listen.port();
            return refuse(
                key,
                format!("{listen} hears nobody at the service address {unheard}; [::]:{port} hears IPv4 and IPv6"),
            );
        }
    }
    Ok(())
}

/// What an address is that no single station can have.
fn why_nobodys(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_unspecified() => Some("unspecified"),
        _ if address.is_multicast() => Some("multicast"),
        _ if address.is_loopback() => Some("loopback"),
        IpAddr::V4(address) if address.is_broadcast() => Some("broadcast"),
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => Some("IPv4 written as IPv6"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with these lines below `[addresses]`, from line 10 on.
    fn parsed(listen: &str, lines: &str) -> Result<Config, String> {
        let text = format!(
            r#"server = {{ name = "a", pair = ["a", "b"], data = "/d", keys = "/k" }}
terminals = {{ listen = "{listen}:7300" }}
http = {{ listen = "{listen}:7380" }}
store = {{ url = "sqlite:/d/store.db" }}
arbiter = {{ kind = "witness", address = "10.0.0.3:7410" }}
peer = {{ listen = "10.0.0.1:7400", address = "10.0.0.2:7400", heartbeats = [{{ local = "10.0.0.1:1", peer = "10.0.0.2:1" }}] }}
[addresses]
manage = "alias"
interface = "eth0"
{lines}
"#
        );
        Config::parse(&text).map_err(|error| error.0)
    }

    fn of_both_roles(config: &Config) -> [Vec<String>; 2] {
        let Addresses::Alias { main, sub, .. } = &config.addresses else { panic!("they move") };
        [main, sub].map(|addresses| addresses.iter().map(IpAddr::to_string).collect())
    }

    #[test]
    fn one_address_and_a_list_of_both_kinds_are_read_and_written_alike() {
        let config = parsed("[::]", "main = \"10.0.0.100\"\nsub = [\"10.0.0.101\", \"fd00::101\"]").unwrap();
        assert_eq!(of_both_roles(&config), [vec!["10.0.0.100"], vec!["10.0.0.101", "fd00::101"]]);
        let written = toml::to_string(&config).unwrap();
        assert!(written.contains("main = \"10.0.0.100\"\n") && !written.contains("gateway"), "{written}");
        assert_eq!(of_both_roles(&Config::parse(&written).unwrap()), of_both_roles(&config));
    }

    #[test]
    fn addresses_that_cannot_serve_are_named_with_their_line() {
        let main = |list: &str| format!("main = [{list}]\nsub = \"10.0.0.101\"");
        let gateway = |list: &str| format!("main = \"10.0.0.100\"\nsub = \"10.0.0.101\"\ngateway = [{list}]");
        let five = (1..=5).map(|n| format!("\"10.0.1.{n}\"")).collect::<Vec<_>>().join(", ");
        for (lines, said) in [
            (main("\"fe80::1\""), "line 10: addresses.main: fe80::1 cannot be a service address: it is link-local"),
            (main("\"169.254.0.1\""), "line 10: addresses.main: 169.254.0.1 cannot be a service address: it is link-local"),
            (main("\"ff02::1\""), "line 10: addresses.main: ff02::1 cannot be a service address: it is multicast"),
            (main("\"224.0.0.1\""), "line 10: addresses.main: 224.0.0.1 cannot be a service address: it is multicast"),
            (main("\"::1\""), "line 10: addresses.main: ::1 cannot be a service address: it is loopback"),
            (main("\"127.0.0.1\""), "line 10: addresses.main: 127.0.0.1 cannot be a service address: it is loopback"),
            (main("\"::\""), "line 10: addresses.main: :: cannot be a service address: it is unspecified"),
            (
                main("\"255.255.255.255\""),
                "line 10: addresses.main: 255.255.255.255 cannot be a service address: it is broadcast",
            ),
            (main("\"::ffff:10.0.0.9\""), "line 10: addresses.main: ::ffff:10.0.0.9 cannot be a service address: it is IPv4"),
            (main("\"10.0.0.100\", \"10.0.0.100\""), "line 10: addresses.main: 10.0.0.100 is named twice"),
            (main("\"10.0.0.100\", \"10.0.0.101\""), "line 11: addresses.sub: 10.0.0.101 is named twice"),
            (main("\"10.0.0.100\", \"10.0.0.300\""), "line 10: addresses.main[1]: invalid IP address"),
            (main("\"10.0.0.2\""), "line 10: addresses.main: 10.0.0.2 is a server's own fixed address"),
            (main(""), "line 7: addresses: manage = \"alias\" needs main"),
            (main("7"), "line 10: addresses.main[0]: invalid type: integer"),
            (main(&five), "line 10: addresses.main: 5 addresses; at most 4"),
            (main("\"fd00::100\""), "line 2: terminals.listen: 0.0.0.0:7300 hears nobody at the service address fd00::100"),
            (gateway("\"fe80::1\""), "line 12: addresses.gateway: fe80::1: no service address is of its kind"),
            (gateway("\"10.0.0.254\", \"10.0.0.254\""), "line 12: addresses.gateway: 10.0.0.254 is named twice"),
            (gateway("\"224.0.0.2\""), "line 12: addresses.gateway: 224.0.0.2 cannot be a gateway: it is multicast"),
        ] {
            let error = parsed("0.0.0.0", &lines).expect_err(&lines);
            assert!(error.starts_with(said), "{lines}: {error}");
        }
    }

    #[test]
    fn gateways_of_both_kinds_are_taken_also_a_link_local_one() {
        let lines = "main = [\"10.0.0.100\", \"fd00::100\"]\nsub = \"10.0.0.101\"\ngateway = [\"10.0.0.254\", \"fe80::1\"]";
        assert!(parsed("[::]", lines).is_ok());
    }

    #[test]
    fn interface_names_are_what_the_kernel_takes_vlans_and_bonds_among_them() {
        for good in ["eth0", "eth0.100", "bond0", "bond0.4094", "enp0s31f6.1000", "br-lan", "team0"] {
            assert!(is_interface_name(good), "{good}");
        }
        for bad in ["", ".", "..", "eth0:1", "a/b", "eth 0", "eth0\n", "sixteen-letters-"] {
            assert!(!is_interface_name(bad), "{bad}");
        }
    }
}
