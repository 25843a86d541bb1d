//! The writing thread's side of the logs: a record becomes a line on stderr and, if configured, a JSON line in its actor's file.

use std::fmt;
use std::io::{self, Write};

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use slog::{BorrowedKV, Drain, FnValue, KV, Key, OwnedKVList, PushFnValue, Record, RecordStatic, Serializer, o};
use slog_json::Json;
use slog_term::{CountingWriter, Decorator, FullFormat, RecordDecorator, TermDecorator, ThreadSafeTimestampFn};

use crate::config::LogFormat;

use super::streams::Streams;

/// Passes the record on with the time of *now*: the writing thread may come to it much later, just when times matter most. It
/// travels as the record's tag, which nothing else here uses.
pub(super) fn stamped<T>(record: &Record<'_>, log: impl FnOnce(&Record<'_>) -> T) -> T {
    let now = format!("{:.3}", Timestamp::now());
    let place = RecordStatic { location: record.location(), level: record.level(), tag: &now };
    log(&Record::new(&place, record.msg(), BorrowedKV(&record.kv())))
}

type Printer = Box<dyn Drain<Ok = (), Err = io::Error> + Send>;

/// Writes records; lives on the writing thread.
pub(super) struct Writer {
    printer: Printer,
    streams: Option<Streams>,
    lost: Counter,
}

impl Writer {
    pub(super) fn to_stderr(format: LogFormat, streams: Option<Streams>) -> Self {
        match format {
            LogFormat::Human => Self::new(Box::new(human(TermDecorator::new().stderr().build())), streams),
            LogFormat::Json => Self::new(Box::new(json(io::LineWriter::new(io::stderr()))), streams),
        }
    }

    pub(super) fn new(printer: Printer, streams: Option<Streams>) -> Self {
        Self { printer, streams, lost: Counter::default() }
    }

    /// Lines that cannot be written are counted in `lost`.
    pub(super) fn counting(self, lost: Counter) -> Self {
        Self { lost, ..self }
    }
}

impl Drain for Writer {
    type Ok = ();
    type Err = io::Error;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> io::Result<()> {
        let printed = self.printer.log(record, values);
        let kept = match &self.streams {
            Some(streams) => streams.log(record, values),
            None => Ok(()),
        };
        // A closed stderr or a full disk: there is nowhere left to say so but the counter.
        printed.and(kept).inspect_err(|_| {
            self.lost.inc();
        })
    }
}

/// One JSON object a line: `ts`, `level`, `msg`, `actor`, then the fields.
pub(super) fn json<W: Write + Send>(out: W) -> Json<W> {
    Json::new(out)
        .add_key_value(o!(
            "ts" => FnValue(|record: &Record<'_>| record.tag().to_owned()),
            "level" => FnValue(|record: &Record<'_>| record.level().as_str()),
            "msg" => PushFnValue(|record: &Record<'_>, serializer| serializer.emit(record.msg())),
        ))
        .set_flush(true)
        .build()
}

/// A line for people, in colour on a terminal.
pub(super) fn human<D: Decorator>(decorator: D) -> FullFormat<D> {
    FullFormat::new(decorator).use_original_order().use_custom_header_print(print_header).build()
}

/// As slog-term's own, but with the time at which the record was made.
fn print_header(
    _now: &dyn ThreadSafeTimestampFn<Output = io::Result<()>>,
    mut out: &mut dyn RecordDecorator,
    record: &Record<'_>,
    _with_location: bool,
) -> io::Result<bool> {
    out.start_timestamp()?;
    write!(out, "{}", record.tag())?;
    out.start_whitespace()?;
    write!(out, " ")?;
    out.start_level()?;
    write!(out, "{}", record.level().as_short_str())?;
    out.start_whitespace()?;
    write!(out, " ")?;
    out.start_msg()?;
    let mut counted = CountingWriter::new(&mut out);
    write!(counted, "{}", record.msg())?;
    Ok(counted.count() != 0)
}

/// The actor that a record belongs to.
pub(super) fn actor_of(record: &Record<'_>, values: &OwnedKVList) -> Option<String> {
    struct Find(Option<String>);
    impl Serializer for Find {
        fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
            if key == "actor" {
                self.0 = Some(value.to_string());
            }
            Ok(())
        }
    }
    let mut find = Find(None);
    values.serialize(record, &mut find).ok()?;
    find.0
}
