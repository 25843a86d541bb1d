//! The house is in order: who imports whom, how long things are, and what is never written. Reads the sources; needs nothing built.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use source::Source;

#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/planted.rs"]
mod planted;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

/// Everything that is judged: all Rust files of both crates.
struct House {
    sources: Vec<Source>,
    /// Dependencies, as paths name them.
    crates: Vec<String>,
    /// The application's tables.
    tables: Vec<String>,
    /// Actors, by the names of their files.
    actors: Vec<String>,
}

/// Read once for all tests.
static HOUSE: LazyLock<House> = LazyLock::new(House::read);

impl House {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        for folder in ["src", "tests", "examples", "supervisors/src", "supervisors/tests", "bench"] {
            collect(&root.join(folder), &mut paths);
        }
        paths.sort();
        let sources: Vec<Source> = paths.iter().map(|path| Source::read(root, path)).collect();
        let schema = sources.iter().find(|source| source.path == "src/schema.rs").expect("the schema is in src/schema.rs");
        let tables = application_tables(&schema.code);
        let actors = sources.iter().filter_map(|source| actor_name(&source.path)).collect();
        Self { crates: dependencies(root), tables, actors, sources }
    }

    /// What a rule finds in the files below a folder.
    fn judge(&self, folder: &str, rule: impl Fn(&Source) -> Vec<rules::Breach>) {
        let judged: Vec<_> = self.sources.iter().filter(|source| source.path.starts_with(folder)).collect();
        assert!(!judged.is_empty(), "no file below {folder:?}");
        let breaches: Vec<_> = judged.into_iter().flat_map(rule).collect();
        assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    // Not every folder of the list exists at every time.
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder can be read to its end").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn dependencies(root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest can be read");
    let manifest: toml::Table = text.parse().expect("the manifest is TOML");
    let table = manifest.get("dependencies").and_then(toml::Value::as_table).expect("the manifest has dependencies");
    table.keys().map(|name| name.replace('-', "_")).collect()
}

fn application_tables(schema: &str) -> Vec<String> {
    let names = schema.split("table!").skip(1).filter_map(|rest| source::words(rest).next());
    names.map(|(_, name)| name.to_owned()).filter(|name| !house::PAIR_TABLES.contains(&name.as_str())).collect()
}

fn actor_name(path: &str) -> Option<String> {
    let name = path.strip_prefix("src/actors/")?.strip_suffix(".rs")?;
    (!name.contains('/') && !["mod", "fault"].contains(&name)).then(|| name.to_owned())
}

#[test]
fn imports_run_one_way() {
    HOUSE.judge("src/", rules::imports_run_one_way);
}

#[test]
fn decisions_are_pure() {
    HOUSE.judge("src/", |source| rules::decisions_are_pure(source, &HOUSE.crates));
}

#[test]
fn crates_stay_at_home() {
    HOUSE.judge("src/", |source| rules::crates_stay_at_home(source, &HOUSE.crates));
}

#[test]
fn only_the_ledger_names_its_tables() {
    assert!(HOUSE.tables.iter().any(|table| table == "member"), "the schema was understood: {:?}", HOUSE.tables);
    HOUSE.judge("src/", |source| rules::only_the_ledger_names_its_tables(source, &HOUSE.tables));
}

#[test]
fn actors_hold_recipients_of_messages() {
    assert!(HOUSE.actors.len() >= 9, "the actors were found: {:?}", HOUSE.actors);
    HOUSE.judge("src/", |source| rules::actors_hold_recipients(source, &HOUSE.actors));
}

#[test]
fn nothing_is_unfinished_ignored_or_slept_through() {
    HOUSE.judge("", rules::nothing_unfinished);
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    HOUSE.judge("", rules::no_unwrap_outside_tests);
}

#[test]
fn every_file_says_what_it_is() {
    HOUSE.judge("", rules::a_file_says_what_it_is);
}

#[test]
fn files_are_short() {
    HOUSE.judge("", |source| rules::files_are_short(source, house::LONG_FILES));
}

#[test]
fn functions_are_short() {
    HOUSE.judge("", |source| rules::functions_are_short(source, house::LONG_FUNCTIONS));
}

#[test]
fn every_limit_says_where_its_number_came_from() {
    HOUSE.judge(house::LIMITS, rules::every_limit_says_where_its_number_came_from);
}

#[test]
fn exceptions_name_what_exists() {
    let breaches = rules::exceptions_name_what_exists(&HOUSE.sources);
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// The part of ARCHITECTURE.md behind this heading or bold word.
fn architecture(from: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    text.split_once(from).unwrap_or_else(|| panic!("ARCHITECTURE.md has {from:?}")).1.to_owned()
}

#[test]
fn every_dependency_has_its_reason() {
    let section = architecture("**Dependencies**");
    let table = section.split_once("## Faults").unwrap().0;
    let named: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|cell| cell.split([',', ' ']))
        .collect();
    let unnamed: Vec<_> = HOUSE
        .crates
        .iter()
        .filter(|name| *name != "supervisors" && !named.iter().any(|one| one.replace('-', "_") == **name))
        .collect();
    assert!(unnamed.is_empty(), "without a reason in ARCHITECTURE.md: {unnamed:?}");
}

#[test]
fn every_test_that_the_table_of_faults_names_exists() {
    let section = architecture("## Faults");
    let names: Vec<&str> = section.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
    assert!(names.len() > 100, "the table was understood: {} names", names.len());
    let exists = |name: &&str| HOUSE.sources.iter().any(|source| source.code.contains(&format!("fn {name}(")));
    let missing: Vec<_> = names.iter().filter(|name| !exists(name) && **name != "cannot_cut").collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}
