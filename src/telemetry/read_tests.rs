use std::fs::OpenOptions;
use std::io::Write;

use super::super::streams::StreamFile;
use super::*;

/// A data directory with a `log` directory in it.
fn data() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    fs::create_dir(data.path().join("log")).unwrap();
    data
}

/// A stream whose files hold `lines_max` lines of [`line`]; `None` never sets one aside.
fn stream(data: &tempfile::TempDir, actor: &str, lines_max: u64) -> StreamFile {
    StreamFile::open(&data.path().join("log"), actor, lines_max * line(0).len() as u64).unwrap()
}

/// A line of second `second`, always of the same length.
fn line(second: i64) -> String {
    format!("{{\"ts\":\"2026-04-01T09:00:{second:02}.000Z\",\"msg\":\"{second:02}\"}}\n")
}

fn write(stream: &mut StreamFile, seconds: impl IntoIterator<Item = i64>) {
    for second in seconds {
        stream.write_all(line(second).as_bytes()).unwrap();
        stream.flush().unwrap();
    }
}

fn open(data: &tempfile::TempDir) -> LogReader {
    LogReader::open(data.path(), &[], UnixMs(0)).unwrap()
}

/// Actor and second of every line that is there now.
fn rest(reader: &mut LogReader) -> Vec<(String, i64)> {
    let mut lines = Vec::new();
    while let Some(line) = reader.next_line().unwrap() {
        lines.push((line.actor, line.at.0 / 1_000 % 60));
    }
    lines
}

fn seconds(reader: &mut LogReader) -> Vec<i64> {
    rest(reader).into_iter().map(|(_, second)| second).collect()
}

#[test]
fn lines_of_all_actors_come_in_order_of_time() {
    let data = data();
    write(&mut stream(&data, "a", 99), [1, 4, 5]);
    write(&mut stream(&data, "b", 99), [2, 3, 5]);
    let expected = [("a", 1), ("b", 2), ("b", 3), ("a", 4), ("a", 5), ("b", 5)].map(|(actor, second)| (actor.to_owned(), second));
    assert_eq!(rest(&mut open(&data)), expected);
}

#[test]
fn only_the_actors_asked_for_are_read_and_an_unknown_one_is_named() {
    let data = data();
    write(&mut stream(&data, "a", 99), [1]);
    write(&mut stream(&data, "b", 1), [2, 3]);
    let mut reader = LogReader::open(data.path(), &["b".into()], UnixMs(0)).unwrap();
    assert_eq!(seconds(&mut reader), [2, 3]);
    let error = LogReader::open(data.path(), &["c".into()], UnixMs(0)).err().unwrap().to_string();
    assert!(error.contains("\"c\"") && error.ends_with("there are: a, b"), "{error}");
}

#[test]
fn lines_before_since_are_left_out() {
    let data = data();
    write(&mut stream(&data, "a", 2), [1, 2, 3, 4, 5]);
    let since = since("2026-04-01T09:00:03Z", UnixMs(0)).unwrap();
    let mut reader = LogReader::open(data.path(), &[], since).unwrap();
    assert_eq!(seconds(&mut reader), [3, 4, 5]);
}

#[test]
fn files_are_bounded_and_the_oldest_lines_go_first() {
    let data = data();
    write(&mut stream(&data, "a", 2), 1..=11);
    // Three files set aside with two lines each, and one line in the fourth.
    assert_eq!(seconds(&mut open(&data)), (5..=11).collect::<Vec<_>>());
    assert_eq!(fs::read_dir(data.path().join("log")).unwrap().count(), FILES_ASIDE_MAX as usize + 1);
}

#[test]
fn following_goes_on_where_it_was_through_any_number_of_files_set_aside() {
    for written_at_once in 1..=6 {
        let data = data();
        let mut stream = stream(&data, "a", 2);
        write(&mut stream, [1]);
        let mut reader = open(&data);
        let mut read = seconds(&mut reader);
        for begin in (2..26).step_by(written_at_once) {
            write(&mut stream, begin..begin + written_at_once as i64);
            read.extend(seconds(&mut reader));
        }
        assert_eq!(read, (1..=read.len() as i64).collect::<Vec<_>>(), "{written_at_once} lines between two looks");
        assert!(read.len() >= 25);
    }
}

#[test]
fn a_reader_left_far_behind_goes_on_with_the_oldest_line_kept() {
    let data = data();
    let mut stream = stream(&data, "a", 2);
    write(&mut stream, [1]);
    let mut reader = open(&data);
    assert_eq!(seconds(&mut reader), [1]);
    write(&mut stream, 2..=21);
    // The open file still gives its own second line; what was deleted meanwhile is gone.
    assert_eq!(seconds(&mut reader), [2, 15, 16, 17, 18, 19, 20, 21]);
}

#[test]
fn a_line_is_given_once_its_end_is_there() {
    let data = data();
    let path = data.path().join("log/a.log");
    fs::write(&path, &line(1)[..20]).unwrap();
    let mut reader = open(&data);
    assert_eq!(reader.next_line().unwrap(), None);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&line(1).as_bytes()[20..]).unwrap();
    assert_eq!(seconds(&mut reader), [1]);
}

#[test]
fn a_line_cut_by_a_crash_spoils_no_other() {
    let data = data();
    fs::write(data.path().join("log/a.log"), line(1) + &line(2)[..20]).unwrap();
    write(&mut stream(&data, "a", 99), [3]);
    let mut reader = open(&data);
    let texts: Vec<_> = std::iter::from_fn(|| reader.next_line().unwrap()).map(|line| line.text + "\n").collect();
    assert_eq!(texts, [line(1), line(2)[..20].to_owned() + "\n", line(3)]);
}

#[test]
fn a_line_cut_at_the_end_of_a_file_set_aside_stands_alone() {
    let data = data();
    fs::write(data.path().join("log/a.1.log"), line(1) + &line(2)[..20]).unwrap();
    fs::write(data.path().join("log/a.log"), line(3)).unwrap();
    let mut reader = open(&data);
    let texts: Vec<_> = std::iter::from_fn(|| reader.next_line().unwrap()).map(|line| line.text + "\n").collect();
    assert_eq!(texts, [line(1), line(2)[..20].to_owned() + "\n", line(3)]);
}

#[test]
fn a_missing_directory_is_named() {
    let error = LogReader::open(Path::new("/nowhere"), &[], UnixMs(0)).err().unwrap();
    assert!(error.to_string().contains("/nowhere/log"), "{error}");
}
