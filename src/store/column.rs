//! How a field of a row becomes a column and back: bigint, integer, text or binary, nullable or not, on both engines alike.

use std::fmt;

use diesel::result::{Error, QueryResult};
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, SqlType, Text};

use crate::model::{CommandId, Digest, Epoch, Sequence, TerminalId, UnixMs};

/// A field as it is bound to a statement.
pub trait Column {
    type Plain<'a>
    where
        Self: 'a;

    fn plain(&self) -> Self::Plain<'_>;
}

/// A field rebuilt from what the engine gave, which may be nothing that this program ever wrote.
pub trait Restore<P>: Sized {
    /// # Errors
    /// A deserialization error that says what was found.
    fn restore(plain: P) -> QueryResult<Self>;
}

/// What a column of an SQL type is read as.
pub trait SqlPlain {
    type Plain;
}

impl SqlPlain for BigInt {
    type Plain = i64;
}

impl SqlPlain for Integer {
    type Plain = i32;
}

impl SqlPlain for Text {
    type Plain = String;
}

impl SqlPlain for Binary {
    type Plain = Vec<u8>;
}

impl<S: SqlPlain + SqlType> SqlPlain for Nullable<S> {
    type Plain = Option<S::Plain>;
}

/// What a column of `table!` is read as.
pub type PlainOf<C> = <diesel::dsl::SqlTypeOf<C> as SqlPlain>::Plain;

/// The error for a value that no version of this program can have written.
pub fn unreadable(reason: impl fmt::Display) -> Error {
    Error::DeserializationError(reason.to_string().into())
}

macro_rules! same {
    ($($field:ty),*) => {$(
        impl Column for $field {
            type Plain<'a> = $field;
            fn plain(&self) -> $field { *self }
        }
        impl Restore<$field> for $field {
            fn restore(plain: $field) -> QueryResult<Self> { Ok(plain) }
        }
    )*};
}
same!(i64, i32);

macro_rules! owned {
    ($($field:ty as $borrowed:ty),*) => {$(
        impl Column for $field {
            type Plain<'a> = &'a $borrowed;
            fn plain(&self) -> &$borrowed { self }
        }
        impl Restore<$field> for $field {
            fn restore(plain: $field) -> QueryResult<Self> { Ok(plain) }
        }
    )*};
}
owned!(String as str, Vec<u8> as [u8]);

/// Newtypes over `u64`. The cast keeps all 64 bits both ways, so no value is refused here.
macro_rules! numbers {
    ($($field:ident),*) => {$(
        impl Column for $field {
            type Plain<'a> = i64;
            fn plain(&self) -> i64 { self.0.cast_signed() }
        }
        impl Restore<i64> for $field {
            fn restore(plain: i64) -> QueryResult<Self> { Ok(Self(plain.cast_unsigned())) }
        }
    )*};
}
numbers!(Epoch, Sequence);

/// Newtypes over an array of bytes.
macro_rules! byte_arrays {
    ($($field:ident),*) => {$(
        impl Column for $field {
            type Plain<'a> = &'a [u8];
            fn plain(&self) -> &[u8] { &self.0 }
        }
        impl Restore<Vec<u8>> for $field {
            fn restore(plain: Vec<u8>) -> QueryResult<Self> { Restore::restore(plain).map(Self) }
        }
    )*};
}
byte_arrays!(CommandId, Digest);

impl Column for bool {
    type Plain<'a> = i32;

    fn plain(&self) -> i32 {
        i32::from(*self)
    }
}

impl Restore<i32> for bool {
    fn restore(plain: i32) -> QueryResult<Self> {
        match plain {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(unreadable(format_args!("{other} is neither 0 nor 1"))),
        }
    }
}

impl Column for UnixMs {
    type Plain<'a> = i64;

    fn plain(&self) -> i64 {
        self.0
    }
}

impl Restore<i64> for UnixMs {
    fn restore(plain: i64) -> QueryResult<Self> {
        Ok(Self(plain))
    }
}

impl Column for TerminalId {
    type Plain<'a> = &'a str;

    fn plain(&self) -> &str {
        &self.0
    }
}

impl Restore<String> for TerminalId {
    fn restore(plain: String) -> QueryResult<Self> {
        Ok(Self(plain))
    }
}

impl<const N: usize> Column for [u8; N] {
    type Plain<'a> = &'a [u8];

    fn plain(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> Restore<Vec<u8>> for [u8; N] {
    fn restore(plain: Vec<u8>) -> QueryResult<Self> {
        Self::try_from(plain.as_slice()).map_err(|_| unreadable(format_args!("{} bytes where {N} belong", plain.len())))
    }
}

impl<T: Column> Column for Option<T> {
    type Plain<'a>
        = Option<T::Plain<'a>>
    where
        T: 'a;

    fn plain(&self) -> Option<T::Plain<'_>> {
        self.as_ref().map(Column::plain)
    }
}

impl<P, T: Restore<P>> Restore<Option<P>> for Option<T> {
    fn restore(plain: Option<P>) -> QueryResult<Self> {
        plain.map(T::restore).transpose()
    }
}

/// An enum without fields as text. The `match` is total, so a new variant without a text does not compile.
macro_rules! text_column {
    ($name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl $crate::store::column::Column for $name {
            type Plain<'a> = &'static str;
            fn plain(&self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl $crate::store::column::Restore<String> for $name {
            fn restore(plain: String) -> diesel::QueryResult<Self> {
                match plain.as_str() {
                    $($text => Ok(Self::$variant),)+
                    other => Err($crate::store::column::unreadable(format_args!("`{other}` is no {}", stringify!($name)))),
                }
            }
        }
    };
}
pub(crate) use text_column;
