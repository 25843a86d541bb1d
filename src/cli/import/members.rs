//! `duplex import members`: check everything, then send what passed, 256 rows a command.

use std::path::PathBuf;
use std::time::Duration;

use super::batch::{Batch, Batches};
use super::check::{BAD_ROWS_SHOWN_MAX, BadRow, Checked, Rules, check};
use super::progress::Progress;
use super::source::Source;
use crate::cli::client::{Desk, Heard, NotAdmitted, Reach, command_id_of, new_command_id};
use crate::cli::{Failure, block_on, counted, print_json, print_line, rolls};
use crate::ledger::rows::TerminalKind;
use crate::model::Status;

/// Longer than the server keeps a command waiting (2 s): its own `retry` comes first, and 256 rows are never sent twice in haste.
const ANSWER_LIMIT: Duration = Duration::from_millis(2_500);
/// Earlier runs that were refused at one row (day not open, card in use), each with its cause removed since.
const ATTEMPTS_MAX: u32 = 16;

/// Import members, cards and opening balances from a CSV file.
///
/// The whole file is checked first, then the service is asked about every row; nothing is applied if one is bad (unless --skip-bad).
/// A run that was cut off is simply started again: rows that the service already has are recognised by file and row, and are not
/// applied twice.
#[derive(Debug, clap::Args)]
#[command(after_help = COLUMNS)]
pub struct Args {
    /// CSV, UTF-8 (with or without byte order mark), header in the first row.
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    #[command(flatten)]
    reach: Reach,
    /// Terminals and their keys, as `duplex init` wrote them; the first office PC (kind `analysis`) of it sends.
    #[arg(long, value_name = "FILE")]
    terminals_file: PathBuf,
    /// Who imports: a supervisor or manager.
    #[arg(long, value_name = "STAFF_ID")]
    staff: String,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// Leave bad rows out, also those that the service refuses (a card that is somebody's already), and import the others.
    #[arg(long)]
    skip_bad: bool,
    /// Only check the file, and while a business day is open ask the service about every row; change nothing.
    #[arg(long)]
    check_only: bool,
    /// Print one JSON object at the end.
    #[arg(long)]
    json: bool,
}

const COLUMNS: &str = "Columns, in any order, named in English or Japanese:
  name        氏名        needed, up to 60 characters
  kana        カナ        needed, katakana or hiragana
  birth_date  生年月日    needed, YYYY-MM-DD or YYYY/MM/DD; old enough for the site
  card_id     カード番号  needed, up to 32 visible ASCII characters, each card once
  postal      郵便番号    seven digits, 123-4567
  address     住所        up to 200 characters
  phone       電話        9 to 15 digits
  pin         暗証番号    four digits
  balance:RATE_ID  残高:RATE_ID  opening balance in units of that rate; up to four such columns
Member numbers (会員番号) are given by the service and not accepted.";

/// What the import did.
#[derive(Debug, Default, serde::Serialize)]
struct Summary {
    rows: u64,
    imported: u64,
    /// Of `imported`: found already applied by an earlier run. Where nothing was to be imported: rows whose card and person are there,
    /// by this file or by another.
    already: u64,
    skipped: u64,
    seconds: f64,
    /// Nothing was to be imported; `skipped` is what an import with --skip-bad would leave out.
    checked_only: bool,
    /// No business day was open, so the service was not asked about any row.
    unasked: bool,
}

/// Why not all was imported, for programs: the first [`BAD_ROWS_SHOWN_MAX`] mistakes of the file, or refusals of the service.
#[derive(Debug, Default, serde::Serialize)]
struct Mistakes<'a> {
    rows: u64,
    imported: u64,
    bad_rows: u64,
    mistakes: &'a [BadRow],
    refused: &'a [Refused],
}

/// Checks and imports.
///
/// # Errors
/// Bad rows (listed on stderr); a refusal by the service, naming the rows; no answer (run again to go on).
pub fn run(args: &Args) -> Result<(), Failure> {
    let source = Source::read(&args.file)?;
    let terminal = rolls::take(&args.terminals_file, &[TerminalKind::Analysis], 1)?.remove(0);
    let mut service = args.reach.service()?;
    service.limits.answer = ANSWER_LIMIT;
    let password = crate::cli::terminal::read_password(&args.password_file)?;
    let summary = block_on(async {
        let mut desk = Desk::new(service, terminal);
        let greeting = desk.hello().await.map_err(|why| turned_away(args, 0, why))?;
        let checked = checked(args, &source, &Rules::of(&greeting, jiff::Zoned::now().date()))?;
        let (rows, bad) = (checked.rows, checked.bad.len() as u64);
        let only_checked = Summary { rows, skipped: bad, checked_only: true, ..Summary::default() };
        if greeting.day.is_none() {
            let closed = "no business day is open: open the day first, members join on a day";
            let refused = Refused { line: None, code: "HALL_CLOSED".into(), text_en: closed.into() };
            return match args.check_only {
                true => Ok(Summary { unasked: true, ..only_checked }),
                false => Err(tell(args, rows, 0, refused, Failure::refused(closed))),
            };
        }
        desk.sign_in(&args.staff, &password).await.map_err(|why| turned_away(args, rows, why))?;
        let progress = Progress::new("checked", checked.rows);
        let mut sending = Sending { args, desk, source: &source, checked: &checked, progress };
        // An import with --skip-bad is told of each row that the service refuses when it sends it.
        let asked = if args.check_only || !args.skip_bad { sending.ask().await? } else { Asked::default() };
        if asked.refused > 0 && !args.skip_bad {
            return Err(asked.mistakes(args, rows));
        }
        let looked = Summary { already: asked.present, skipped: bad + asked.refused, ..only_checked };
        if args.check_only { Ok(looked) } else { sending.run().await }
    })?;
    if args.json { print_json(&summary) } else { print_line(&summary.to_string()) }
}

fn checked(args: &Args, source: &Source, rules: &Rules) -> Result<Checked, Failure> {
    let bad = |reason: String| format!("{}: {reason}", args.file.display());
    let checked = check(source, rules).map_err(|reason| Failure::usage(bad(reason)))?;
    for mistake in &checked.shown {
        eprintln!("{mistake}");
    }
    let unseen = checked.mistakes - checked.shown.len() as u64;
    if unseen > 0 {
        eprintln!("and {unseen} more");
    }
    if !checked.bad.is_empty() && !args.skip_bad {
        let (bad_rows, rows) = (checked.bad.len(), checked.rows);
        if args.json {
            print_json(&Mistakes { rows, bad_rows: bad_rows as u64, mistakes: &checked.shown, ..Mistakes::default() })?;
        }
        let are = if bad_rows == 1 { "is" } else { "are" };
        return Err(Failure::failed(bad(format!(
            "{bad_rows} of {} {are} bad; nothing was imported (--skip-bad imports the others)",
            counted(rows, "row", "rows")
        ))));
    }
    Ok(checked)
}

/// What the service says of a batch that it was only asked about.
#[derive(Debug, serde::Deserialize)]
struct Verdict {
    refused: Vec<RefusedRow>,
    present: Vec<usize>,
}

#[derive(Debug, serde::Deserialize)]
struct RefusedRow {
    /// Place in the batch.
    row: usize,
    code: String,
    text_en: String,
}

impl RefusedRow {
    fn present(row: usize) -> Self {
        Self { row, code: "CARD_IN_USE".to_owned(), text_en: "This person has this card already.".to_owned() }
    }
}

/// A row of the file that the service would not take, or that it takes none.
#[derive(Debug, serde::Serialize)]
struct Refused {
    /// Line of the file at which the row begins; `null` where no single row is refused.
    line: Option<u64>,
    code: String,
    text_en: String,
}

impl Refused {
    fn of(line: Option<u64>, heard: &Heard) -> Self {
        let text_en = heard.whole["text_en"].as_str().unwrap_or_default().to_owned();
        Self { line, code: heard.answer.code.clone(), text_en }
    }
}

/// Says to programs what ends the import; people read the failure's own line.
fn tell(args: &Args, rows: u64, imported: u64, refused: Refused, failure: Failure) -> Failure {
    let bad_rows = u64::from(refused.line.is_some());
    let told = match args.json {
        true => print_json(&Mistakes { rows, imported, bad_rows, mistakes: &[], refused: &[refused] }),
        false => Ok(()),
    };
    told.err().unwrap_or(failure)
}

fn turned_away(args: &Args, rows: u64, why: NotAdmitted) -> Failure {
    match why {
        NotAdmitted::Refused(command, heard) => tell(args, rows, 0, Refused::of(None, &heard), heard.refusal(command)),
        NotAdmitted::Failed(failure) => failure,
    }
}

/// What the service said of all rows.
#[derive(Debug, Default)]
struct Asked {
    /// There already, from the start of the file on.
    present: u64,
    refused: u64,
    /// The first [`BAD_ROWS_SHOWN_MAX`] of them.
    shown: Vec<Refused>,
}

impl Asked {
    fn hear(&mut self, line: u64, RefusedRow { code, text_en, .. }: RefusedRow) {
        self.refused += 1;
        if self.shown.len() < BAD_ROWS_SHOWN_MAX {
            eprintln!("line {line}: {code} {text_en}");
            self.shown.push(Refused { line: Some(line), code, text_en });
        }
    }

    fn mistakes(&self, args: &Args, rows: u64) -> Failure {
        let Self { refused, shown, .. } = self;
        let told = match args.json {
            true => print_json(&Mistakes { rows, bad_rows: *refused, refused: shown, ..Mistakes::default() }),
            false => Ok(()),
        };
        let rows = counted(rows, "row", "rows");
        let reason = format!("the service refuses {refused} of {rows}; nothing was imported (--skip-bad imports the others)");
        told.err().unwrap_or_else(|| Failure::refused(reason))
    }
}

struct Sending<'a> {
    args: &'a Args,
    desk: Desk,
    source: &'a Source,
    checked: &'a Checked,
    progress: Progress,
}

impl Sending<'_> {
    /// Asks of every row whether the service would take it, before any is sent.
    ///
    /// A run that was cut off left whole batches from the start of the file: their rows are there already and are no mistakes. A row
    /// that is there and stands behind one that is not was never this file's.
    async fn ask(&mut self) -> Result<Asked, Failure> {
        let (mut batches, mut begun, mut asked) = (Batches::of(self.source, self.checked), true, Asked::default());
        while let Some(batch) = batches.take()? {
            let heard = self.desk.settle(&new_command_id()?, "import_members", &batch.question()).await?;
            if heard.answer.status != Status::Ok {
                let failure = heard.refusal("import_members");
                return Err(tell(self.args, self.checked.rows, 0, Refused::of(None, &heard), failure));
            }
            let verdict: Verdict = serde_json::from_value(heard.whole["body"].clone())
                .map_err(|e| Failure::failed(format!("cannot read the answer to import_members: {e}")))?;
            begun &= verdict.present.len() == batch.rows.len();
            if begun && asked.present == 0 && !self.args.check_only {
                begun = self.was_sent(&batch).await?;
            }
            asked.present += if begun { batch.rows.len() as u64 } else { 0 };
            let present = verdict.present.into_iter().filter(|_| !begun).map(RefusedRow::present);
            for bad in verdict.refused.into_iter().chain(present) {
                asked.hear(batch.rows.get(bad.row).map_or(0, |line| line.line), bad);
            }
            self.progress.advance(batch.last());
        }
        self.progress.finish();
        let unseen = asked.refused - asked.shown.len() as u64;
        if unseen > 0 {
            eprintln!("and {unseen} more");
        }
        Ok(asked)
    }

    /// Whether it was this file that brought these rows in, all of which are there. Sent again, its own command is answered as it was;
    /// another one is refused, for the same cards cannot be lent twice.
    async fn was_sent(&mut self, batch: &Batch) -> Result<bool, Failure> {
        for attempt in 0..ATTEMPTS_MAX {
            let id = command_id_of(self.source.command_id(batch.first(), attempt));
            let heard = self.desk.settle(&id, "import_members", &batch.body()).await?;
            if !heard.answer.repeated || heard.answer.status == Status::Ok {
                return Ok(heard.answer.status == Status::Ok);
            }
        }
        Ok(false)
    }

    /// Sends the rows in their order, one command after the other: member numbers follow the file.
    async fn run(mut self) -> Result<Summary, Failure> {
        let mut summary = Summary { rows: self.checked.rows, skipped: self.checked.bad.len() as u64, ..Summary::default() };
        self.progress = Progress::new("imported", self.checked.rows);
        let mut batches = Batches::of(self.source, self.checked);
        while let Some(batch) = batches.take()? {
            self.send(batch, &mut summary).await?;
        }
        summary.seconds = self.progress.finish();
        Ok(summary)
    }

    /// Sends one batch. A refusal that an earlier run met is on record and had no effect: the next attempt has an id of its own.
    /// What is left without a row that was left out is another command, again with ids of its own.
    async fn send(&mut self, mut batch: Batch, summary: &mut Summary) -> Result<(), Failure> {
        let (first, last, mut attempt, mut left_out) = (batch.first(), batch.last(), 0, 0);
        while attempt < ATTEMPTS_MAX && !batch.rows.is_empty() {
            let id = command_id_of(self.source.command_id(first, attempt + ATTEMPTS_MAX * left_out));
            let body = batch.body();
            let heard = self.desk.settle(&id, "import_members", &body).await.map_err(|mut failure| {
                failure.message.push_str("; start the same import again to go on");
                failure
            })?;
            match heard.answer.status {
                Status::Ok => {
                    let rows = batch.rows.len() as u64;
                    summary.imported += rows;
                    // Sent twice in this run is one effect of this run; `repeated` at the first try was an earlier run's.
                    summary.already += if heard.answer.repeated && heard.tries == 1 { rows } else { 0 };
                    self.progress.advance(last);
                    return Ok(());
                }
                // With --skip-bad a refusal on record stands: the run that left its row out goes on where it stopped.
                Status::Rejected if heard.answer.repeated && !self.args.skip_bad => attempt += 1,
                Status::Rejected | Status::Retry => match batch.place(&heard).filter(|_| self.args.skip_bad) {
                    Some(place) => {
                        let line = batch.rows.remove(place).line;
                        let text = heard.whole["text_en"].as_str().unwrap_or_default();
                        eprintln!("line {line}: {} {text}; left out", heard.answer.code);
                        summary.skipped += 1;
                        (attempt, left_out) = (0, left_out + 1);
                    }
                    None => return Err(self.stopped_at(&batch, &heard, summary.imported)),
                },
            }
        }
        if batch.rows.is_empty() {
            return Ok(());
        }
        Err(Failure::refused(format!("rows {first} to {last}: refused in {ATTEMPTS_MAX} earlier runs")))
    }

    fn stopped_at(&self, batch: &Batch, heard: &Heard, imported: u64) -> Failure {
        let line = batch.place(heard).map(|place| batch.rows[place].line);
        tell(self.args, self.checked.rows, imported, Refused::of(line, heard), batch.refused(heard, imported))
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rows, imported, already, skipped, seconds, checked_only, unasked } = self;
        if *checked_only {
            let asked = if *unasked { "; the service was not asked: no business day is open" } else { "" };
            let there = counted(*already, "is there already", "are there already");
            let there = if *already > 0 { format!(", {there}") } else { String::new() };
            let importable = rows - skipped - already;
            let bad = counted(*skipped, "is bad", "are bad");
            return write!(f, "{} checked, {importable} can be imported{there}, {bad}{asked}", counted(*rows, "row", "rows"));
        }
        let (rows, there) = (counted(*rows, "row", "rows"), counted(*already, "was there already", "were there already"));
        write!(f, "{imported} of {rows} imported in {seconds:.1} s ({there}, {skipped} left out)")
    }
}
