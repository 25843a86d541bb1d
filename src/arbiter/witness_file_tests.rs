use super::*;
use crate::model::{DataId, Digest, Epoch, Holder, Position, Register, Sequence, ServerId, UnixMs};

fn kept(epoch: u64) -> Kept {
    let recorded = Position { epoch: Epoch(epoch), sequence: Sequence(epoch * 10), digest: Digest([epoch as u8; 32]) };
    let holder = Holder::Solo { server: ServerId::B };
    let register = Register { epoch: Epoch(epoch), holder, data_ids: [DataId([1; 16]), DataId([2; 16])], recorded };
    Kept { register, reported: [Some(Epoch(epoch)); 2], since: Some(UnixMs(1_000)) }
}

fn pair() -> PairId {
    PairId::of(b"an authority")
}

fn open(data: &Path) -> PairFile {
    PairFile::open(data, &pair()).unwrap()
}

fn json(data: &Path) -> PathBuf {
    path(&data.join("pairs"), &pair())
}

/// A data directory whose file keeps epoch 4.
fn keeping_four() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    open(data.path()).store(kept(4)).unwrap();
    data
}

fn refusal(data: &Path) -> String {
    PairFile::open(data, &pair()).unwrap_err().to_string()
}

#[test]
fn what_was_stored_is_read_back_and_names_the_pair() {
    let data = keeping_four();
    let opened = open(data.path());
    assert_eq!((opened.kept().unwrap(), opened.is_copy()), (Some(&kept(4)), false));
    let text = fs::read_to_string(json(data.path())).unwrap();
    assert!(text.contains(&pair().to_string()) && text.contains("\"epoch\": 4"), "{text}");
}

#[test]
fn a_file_from_before_the_date_was_noted_is_read_as_without_it() {
    let data = keeping_four();
    let text = fs::read_to_string(json(data.path())).unwrap();
    let dated = "\n    \"since\": \"1970-01-01T00:00:01Z\",";
    assert!(text.contains(dated), "{text}");
    open(data.path()).store(Kept { since: None, ..kept(4) }).unwrap();
    let text = fs::read_to_string(json(data.path())).unwrap();
    assert!(!text.contains("since") && text.contains("\"version\": 1"), "as a program before it wrote it: {text}");
    assert_eq!(open(data.path()).kept().unwrap(), Some(&Kept { since: None, ..kept(4) }));
}

#[test]
fn a_pair_never_introduced_keeps_nothing() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(open(data.path()).kept().unwrap(), None);
}

#[test]
fn a_death_before_any_step_leaves_the_old_value_or_the_new_one() {
    let steps = [Step::Create, Step::Write, Step::Sync, Step::Rename, Step::SyncDirectory];
    for death in steps {
        let data = keeping_four();
        let dies = |step| if step == death { Err(io::Error::other("killed")) } else { Ok(()) };
        open(data.path()).store_until(kept(5), dies).unwrap_err();
        let expected = if death > Step::Rename { kept(5) } else { kept(4) };
        let mut reopened = open(data.path());
        assert_eq!(reopened.kept().unwrap(), Some(&expected), "killed before {death:?}");
        reopened.store(kept(6)).expect("a leftover does not hinder the next write");
    }
}

#[test]
fn a_half_written_new_file_is_never_read() {
    let data = keeping_four();
    let text = fs::read(json(data.path())).unwrap();
    fs::write(data.path().join("pairs").join(format!("{}.new", pair())), &text[..text.len() / 2]).unwrap();
    assert_eq!(open(data.path()).kept().unwrap(), Some(&kept(4)));
}

#[test]
fn a_write_that_failed_before_the_rename_keeps_the_old_value_and_may_be_tried_again() {
    let data = keeping_four();
    let mut file = open(data.path());
    let full = |step| if step == Step::Write { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) };
    file.store_until(kept(5), full).unwrap_err();
    assert_eq!(file.kept().unwrap(), Some(&kept(4)));
    file.store(kept(5)).unwrap();
    assert_eq!(file.kept().unwrap(), Some(&kept(5)));
}

#[test]
fn a_failed_sync_of_the_directory_refuses_everything_until_the_file_is_opened_anew() {
    let data = keeping_four();
    let mut file = open(data.path());
    let fails = |step| if step == Step::SyncDirectory { Err(io::Error::other("input/output error")) } else { Ok(()) };
    file.store_until(kept(5), fails).unwrap_err();
    assert!(file.kept().unwrap_err().to_string().contains("SyncDirectory"));
    assert!(file.store(kept(6)).is_err());
}

#[test]
fn any_flipped_bit_is_noticed() {
    let data = keeping_four();
    let good = fs::read(json(data.path())).unwrap();
    let body = good.windows(6).position(|window| window == b"\"pair\"").unwrap();
    for at in (body..good.len()).filter(|at| !good[*at].is_ascii_whitespace()) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(json(data.path()), &bad).unwrap();
        let error = refusal(data.path());
        assert!(error.contains("damaged") || error.contains("version") || error.contains("cannot read"), "byte {at}: {error}");
    }
}

#[test]
fn an_empty_file_is_damaged_and_not_a_new_pair() {
    let data = keeping_four();
    fs::write(json(data.path()), "").unwrap();
    assert!(refusal(data.path()).contains("damaged"));
}

#[test]
fn the_file_of_another_pair_is_refused() {
    let data = keeping_four();
    let other = PairId::of(b"another authority");
    fs::rename(json(data.path()), path(&data.path().join("pairs"), &other)).unwrap();
    let error = PairFile::open(data.path(), &other).unwrap_err();
    assert!(error.reason.contains(&pair().to_string()), "{error}");
}

#[test]
fn a_file_brought_back_by_a_restore_has_lost_what_the_servers_reported() {
    let data = keeping_four();
    let backup = fs::read(json(data.path())).unwrap();
    fs::remove_file(json(data.path())).unwrap();
    // The name is free again, but so is the inode: its birth tells the copy.
    fs::write(json(data.path()), backup).unwrap();
    let restored = Kept { reported: [None; 2], ..kept(4) };
    let opened = open(data.path());
    assert_eq!((opened.kept().unwrap(), opened.is_copy()), (Some(&restored), true));
}

#[test]
fn a_file_never_goes_back() {
    let data = keeping_four();
    let mut file = open(data.path());
    assert!(file.store(kept(3)).unwrap_err().reason.contains("epoch 4 to 3"));
    let mut lower = kept(4);
    lower.register.recorded.sequence = Sequence(1);
    assert!(file.store(lower).unwrap_err().reason.contains("would go back"));
}

#[test]
fn two_witnesses_never_share_a_file() {
    let data = keeping_four();
    let _first = open(data.path());
    assert!(refusal(data.path()).contains("another witness"));
}
