//! The long help: every command with its body, from the table that tests hold against the commands themselves.

use std::fmt::Write;

use super::EXAMPLES;
use crate::ledger::commands::bodies::{BODIES, Field, Kind};

/// Wide enough for every field's name.
const NAME_WIDTH: usize = 16;

pub(super) fn long() -> String {
    let mut text = format!("{EXAMPLES}\n\nCommands and the fields of their bodies (* needed):\n");
    for body in &BODIES {
        let _ = write!(text, "\n{}: {}\n", body.command, body.about);
        list(&mut text, body.fields, 1);
        let _ = writeln!(text, "  {}", body.example);
    }
    text
}

fn list(text: &mut String, fields: &[Field], depth: usize) {
    for Field { name, kind, needed, about } in fields {
        let (indent, star) = ("  ".repeat(depth), if *needed { "*" } else { "" });
        let about = if about.is_empty() { String::new() } else { format!("; {about}") };
        let width = NAME_WIDTH.saturating_sub(indent.len() - 2);
        let _ = writeln!(text, "{indent}{:<width$} {kind}{about}", format!("{name}{star}"));
        if let Kind::Object(inner) | Kind::Objects(_, inner) = kind {
            list(text, inner, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_shown_with_its_type_and_whether_it_is_needed() {
        let text = long();
        for line in
            ["\n  units*           integer, 1 to 1000000000\n", "\n    name           text, 1 to 60 characters; needed unless"]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
