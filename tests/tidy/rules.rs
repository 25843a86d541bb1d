//! The rules. Each takes what it judges and returns its breaches, one line each: `file:line: what, and what would be right`.

use super::house::*;
use super::source::{Source, is_test, is_word, words};

/// One line for a person.
pub type Breach = String;

fn breach(source: &Source, offset: usize, what: impl std::fmt::Display) -> Breach {
    format!("{}:{}: {what}", source.path, source.line_at(offset))
}

/// Parts of `src/` import each other in one direction only.
pub fn imports_run_one_way(source: &Source) -> Vec<Breach> {
    let Some(from) = source.module() else { return vec![] };
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(module, _)| *module == from) else {
        return vec![format!("{}:1: `{from}` is not in the house; give it a line in tests/tidy/house.rs", source.path)];
    };
    let forbidden = |to: &str| to != from && MAY_IMPORT.iter().any(|(module, _)| *module == to) && !listed(allowed, to);
    let reached = reached_parts(source).into_iter().filter(|(_, to)| forbidden(to));
    reached.map(|(at, to)| breach(source, at, format_args!("`{from}` must not import `{to}`"))).collect()
}

/// Every `crate::x`, `crate::{x, y}` and `super::super::x` that reaches a part of `src/`.
fn reached_parts(source: &Source) -> Vec<(usize, String)> {
    let code = &source.shipped;
    let mut reached = Vec::new();
    for (at, word) in words(code) {
        let behind = match word {
            "crate" => at + word.len(),
            "duplex" if source.module() == Some("main") => at + word.len(),
            "super" if !code[..at].trim_end().ends_with("super::") => match supers_to_the_root(source, at) {
                Some(end) => end,
                None => continue,
            },
            _ => continue,
        };
        if let Some(path) = code[behind..].strip_prefix("::") {
            reached.extend(heads(path).into_iter().map(|head| (at, head)));
        }
    }
    reached
}

/// The end of a chain of `super::` that climbs out of its part of `src/`.
fn supers_to_the_root(source: &Source, at: usize) -> Option<usize> {
    let chain = &source.shipped[at..];
    let count = chain.split("::").take_while(|part| part.trim() == "super").count();
    (count >= source.depth_at(at)).then_some(at + count * "super::".len() - "::".len())
}

/// First names of a path or of each path in a `{…}` group.
fn heads(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let Some(group) = path.strip_prefix('{') else { return first_word(path).into_iter().collect() };
    let (mut depth, mut heads, mut at_start) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if is_word(c) && at_start => {
                heads.extend(first_word(&group[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    heads
}

fn first_word(text: &str) -> Option<String> {
    text.split(|c: char| !is_word(c)).next().filter(|word| !word.is_empty()).map(str::to_owned)
}

/// `machines` and `model` know std and serde only, and nothing of std that does something.
pub fn decisions_are_pure(source: &Source, crates: &[String]) -> Vec<Breach> {
    if !source.module().is_some_and(|module| PURE.contains(&module)) {
        return vec![];
    }
    let foreign = crate_uses(source, crates).into_iter().filter(|(_, name)| !PURE_CRATES.contains(&name.as_str()));
    let impure = IMPURE.iter().flat_map(|what| places(&source.shipped, what).map(move |at| (at, (*what).to_owned())));
    foreign.chain(impure).map(|(at, what)| breach(source, at, format_args!("a pure part must not use `{what}`"))).collect()
}

/// Each crate stays in its home.
pub fn crates_stay_at_home(source: &Source, crates: &[String]) -> Vec<Breach> {
    let Some(module) = source.module() else { return vec![] };
    let homes = |name: &str| CRATE_HOMES.iter().find(|(home, _)| *home == name).map(|(_, homes)| *homes);
    let strayed =
        crate_uses(source, crates).into_iter().filter(|(_, name)| homes(name).is_some_and(|homes| !listed(homes, module)));
    strayed
        .map(|(at, name)| {
            let homes = homes(&name).unwrap_or_default();
            breach(source, at, format_args!("`{name}` is used only in: {homes}"))
        })
        .collect()
}

/// Places where a path begins with the name of a dependency.
fn crate_uses(source: &Source, crates: &[String]) -> Vec<(usize, String)> {
    let code = &source.shipped;
    let begins_path = |at: usize, word: &str| code[at + word.len()..].starts_with("::") && !code[..at].ends_with("::");
    let imported = |at: usize| code[..at].trim_end().ends_with("use");
    let known = words(code).filter(|(_, word)| crates.iter().any(|name| name == word));
    known.filter(|(at, word)| begins_path(*at, word) || imported(*at)).map(|(at, word)| (at, word.to_owned())).collect()
}

/// Only the application and the schema name the application's tables, in paths and in SQL.
pub fn only_the_ledger_names_its_tables(source: &Source, tables: &[String]) -> Vec<Breach> {
    let Some(module) = source.module().filter(|module| !KNOW_TABLES.contains(module)) else { return vec![] };
    let said =
        |at: usize, table: &str| breach(source, at, format_args!("`{module}` must not name the application's table {table}"));
    let foreign = |table: &str| table == "*" || tables.iter().any(|name| name == table);
    let mut found = Vec::new();
    for at in places(&source.shipped, "schema::") {
        let path = &source.shipped[at + "schema::".len()..];
        let named = if path.starts_with('*') { vec!["*".to_owned()] } else { heads(path) };
        found.extend(named.iter().filter(|table| foreign(table)).map(|table| said(at, table)));
    }
    for verb in ["FROM ", "INTO ", "UPDATE ", "JOIN ", "TABLE "] {
        for at in places(&source.spoken, verb).filter(|at| !is_blank(&source.text, &source.code, *at) && is_shipped(source, *at))
        {
            let table = first_word(source.spoken[at + verb.len()..].trim_start()).unwrap_or_default();
            found.extend(foreign(&table).then(|| said(at, &table)));
        }
    }
    found
}

/// SQL stands in a literal, which `code` blanks; outside of one the word is no SQL.
fn is_blank(text: &str, code: &str, at: usize) -> bool {
    text.as_bytes()[at] == code.as_bytes()[at]
}

/// Whether the item around this place is shipped: `shipped` blanks whole items, so its nearest code before the place is gone too.
fn is_shipped(source: &Source, at: usize) -> bool {
    let last = source.code[..at].trim_end().len();
    last > 0 && source.shipped[..at].trim_end().len() == last
}

/// An actor knows its siblings by their messages: no `Addr` of another, no sibling's struct.
pub fn actors_hold_recipients(source: &Source, actors: &[String]) -> Vec<Breach> {
    let Some(module) = source.module().filter(|module| ["actors", "console"].contains(module)) else { return vec![] };
    let own = source.path.trim_start_matches("src/").split('/').nth(1).unwrap_or(module).trim_end_matches(".rs");
    let addresses = places(&source.shipped, "Addr<").filter(|at| is_word_start(&source.shipped, *at));
    let addresses = addresses.filter(|at| !source.shipped[*at..].starts_with("Addr<Self>"));
    let addresses = addresses.map(|at| breach(source, at, "hold a `Recipient`, not an `Addr`"));
    let siblings =
        words(&source.shipped).filter(|(_, word)| actors.iter().any(|actor| actor != own && struct_of(actor) == *word));
    let siblings = siblings.map(|(at, word)| breach(source, at, format_args!("import a message of `{word}`, not the actor")));
    addresses.chain(siblings).collect()
}

/// `journal_writer` → `JournalWriter`
fn struct_of(file: &str) -> String {
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    file.split('_').filter(|part| !part.is_empty()).map(capital).collect()
}

/// What is written nowhere, tests included.
pub fn nothing_unfinished(source: &Source) -> Vec<Breach> {
    let excused = |word: &str| NEVER_BUT.iter().any(|(path, but, _)| *path == source.path && *but == word);
    let found = NEVER.iter().filter(|word| !excused(word)).flat_map(|word| places(&source.code, word).map(move |at| (at, word)));
    found.map(|(at, word)| breach(source, at, format_args!("`{word}` has no place here"))).collect()
}

pub fn no_unwrap_outside_tests(source: &Source) -> Vec<Breach> {
    let text = "return the error, or `expect` with the reason why it cannot happen";
    places(&source.shipped, ".unwrap()").map(|at| breach(source, at, text)).collect()
}

/// The tests of one module in a file of their own go on with its story; a crate may show its README instead.
pub fn a_file_says_what_it_is(source: &Source) -> Vec<Breach> {
    let says = |line: &str| (line.starts_with("//! ") && line.len() > 8) || line.starts_with("#![doc = include_str!");
    if source.text.lines().next().is_some_and(says) || is_test(&source.path) {
        vec![]
    } else {
        vec![breach(source, 0, "begin with a `//!` line that says what this file is")]
    }
}

pub fn files_are_short(source: &Source, exceptions: &[(&str, usize, &str)]) -> Vec<Breach> {
    let lines = source.line_count();
    let house = if source.path == "src/main.rs" { MAIN_LINES_MAX - 1 } else { FILE_LINES_MAX };
    let exception = exceptions.iter().find(|(path, _, _)| *path == source.path);
    length_breach(lines, house, exception.map(|(_, own, _)| *own)).map(|what| breach(source, 0, what)).into_iter().collect()
}

pub fn functions_are_short(source: &Source, exceptions: &[(&str, &str, usize, &str)]) -> Vec<Breach> {
    let judge = |function: super::source::Function| {
        let own = exceptions
            .iter()
            .find(|(path, name, _, _)| *path == source.path && *name == function.name)
            .map(|(_, _, own, _)| *own);
        let what = length_breach(function.lines, FUNCTION_LINES_MAX, own)?;
        Some(format!("{}:{}: `{}`: {what}", source.path, function.line, function.name))
    };
    source.functions().into_iter().filter_map(judge).collect()
}

/// An exception that is needed no more is a breach as well: so the list shrinks.
fn length_breach(lines: usize, house: usize, own: Option<usize>) -> Option<String> {
    match own {
        Some(_) if lines <= house => {
            Some(format!("{lines} lines: needs its exception no more; remove it from tests/tidy/house.rs"))
        }
        Some(own) if lines > own => Some(format!("{lines} lines, and its exception allows {own}")),
        None if lines > house => Some(format!("{lines} lines; the ceiling is {house}")),
        _ => None,
    }
}

pub fn every_limit_says_where_its_number_came_from(source: &Source) -> Vec<Breach> {
    let (mut before, mut said) = ("", String::new());
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("pub const ").and_then(first_word) {
            let subject = name.split('_').next().unwrap_or_default().to_owned();
            if before.starts_with("///") {
                said = subject;
            } else if !before.starts_with("pub const ") || said != subject {
                found.push(format!("{}:{}: `{name}` needs a comment: where is the number from?", source.path, index + 1));
            }
        }
        before = line;
    }
    found
}

/// Exceptions for what does not exist (any more).
pub fn exceptions_name_what_exists(sources: &[Source]) -> Vec<Breach> {
    let file = |path: &str| sources.iter().find(|source| source.path == path);
    let files = LONG_FILES.iter().map(|(path, _, _)| *path).chain(NEVER_BUT.iter().map(|(path, _, _)| *path));
    let files =
        files.filter(|path| file(path).is_none()).map(|path| format!("{path}: an exception for a file that is not there"));
    let has =
        |path: &str, name: &str| file(path).is_some_and(|source| source.functions().iter().any(|function| function.name == name));
    let functions = LONG_FUNCTIONS.iter().filter(|(path, name, _, _)| !has(path, name));
    let functions = functions.map(|(path, name, _, _)| format!("{path}: an exception for `{name}`, which is not there"));
    files.chain(functions).collect()
}

/// Whether a list of names, separated by spaces, has this one.
fn listed(names: &str, name: &str) -> bool {
    names.split(' ').any(|listed| listed == name)
}

fn places<'a>(code: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(what).map(|(at, _)| at).filter(move |at| !what.starts_with(is_word) || is_word_start(code, *at))
}

fn is_word_start(code: &str, at: usize) -> bool {
    !code[..at].chars().next_back().is_some_and(is_word)
}
