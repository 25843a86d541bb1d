-- The same tables as PostgreSQL's. No default, trigger or autoincrement: every value comes from an entry.
-- A key spelled `integer PRIMARY KEY` is the rowid itself, so append-only tables grow at their end.
-- STRICT because SQLite would otherwise keep a text in an integer column, which PostgreSQL refuses.

CREATE TABLE applied (
    applied_no integer NOT NULL PRIMARY KEY,
    epoch integer NOT NULL,
    sequence integer NOT NULL,
    digest blob NOT NULL
) STRICT;

-- Before the first entry.
INSERT INTO applied (applied_no, epoch, sequence, digest) VALUES (1, 0, 0, zeroblob(32));

CREATE TABLE epoch_history (
    epoch integer NOT NULL PRIMARY KEY,
    first_sequence integer NOT NULL,
    first_digest blob NOT NULL
) STRICT;

CREATE TABLE command_record (
    sequence integer NOT NULL PRIMARY KEY,
    epoch integer NOT NULL,
    terminal_id text NOT NULL,
    command_id blob NOT NULL,
    body_hash blob NOT NULL,
    day integer,
    response blob NOT NULL
) STRICT;

-- The id is 16 random bytes, so it finds a record alone; the terminal is compared afterwards.
CREATE INDEX command_record_command_id ON command_record (command_id);

CREATE TABLE site (
    site_no integer NOT NULL PRIMARY KEY,
    name text NOT NULL,
    profile text NOT NULL,
    rate_table_version integer NOT NULL,
    daily_limit_yen integer NOT NULL,
    min_age_years integer NOT NULL,
    current_day integer,
    last_day integer,
    records_kept_from integer,
    last_day_seq integer NOT NULL,
    last_member_no integer NOT NULL,
    last_payout_id integer NOT NULL,
    last_ledger_no integer NOT NULL,
    ledger_hash blob NOT NULL,
    last_event_no integer NOT NULL,
    event_hash blob NOT NULL
) STRICT;

CREATE TABLE business_day (
    day integer NOT NULL PRIMARY KEY,
    seq integer NOT NULL,
    state text NOT NULL,
    opened_at integer NOT NULL,
    opened_by text NOT NULL,
    closed_at integer,
    closed_by text,
    last_ledger_no integer NOT NULL,
    chain_hash blob NOT NULL,
    offsite_copied_at integer
) STRICT;

CREATE TABLE member (
    member_no integer NOT NULL PRIMARY KEY,
    state text NOT NULL,
    name text,
    kana text,
    birth_day integer,
    sex text,
    postal text,
    address text,
    phone text,
    email text,
    dm_ok integer NOT NULL,
    id_checked_by text,
    joined_day integer NOT NULL,
    last_used_day integer,
    active_card text,
    version integer NOT NULL
) STRICT;

CREATE TABLE card (
    card_id text NOT NULL PRIMARY KEY,
    member_no integer,
    kind text NOT NULL,
    state text NOT NULL,
    pin_hash blob,
    pin_fail integer NOT NULL,
    valid_until integer,
    issued_day integer NOT NULL,
    replaced_by text
) STRICT, WITHOUT ROWID;

CREATE TABLE rate (
    rate_id integer NOT NULL PRIMARY KEY,
    medium text NOT NULL,
    name text NOT NULL,
    lend_units integer NOT NULL,
    lend_yen integer NOT NULL,
    payout_step integer NOT NULL,
    max_units integer NOT NULL,
    active integer NOT NULL
) STRICT;

CREATE TABLE account (
    account_id integer NOT NULL PRIMARY KEY,
    member_no integer NOT NULL,
    rate_id integer NOT NULL,
    balance integer NOT NULL,
    last_ledger_no integer NOT NULL,
    version integer NOT NULL
) STRICT;

CREATE TABLE ledger (
    ledger_no integer NOT NULL PRIMARY KEY,
    day integer NOT NULL,
    at integer NOT NULL,
    account_id integer NOT NULL,
    kind text NOT NULL,
    delta integer NOT NULL,
    balance_after integer NOT NULL,
    ref_type text,
    ref_id text,
    terminal_id text NOT NULL,
    staff_id text,
    command_id blob NOT NULL,
    reason text,
    prev_hash blob NOT NULL,
    hash blob NOT NULL
) STRICT;

CREATE TABLE payout (
    payout_id integer NOT NULL PRIMARY KEY,
    account_id integer NOT NULL,
    day integer NOT NULL,
    terminal_id text NOT NULL,
    units integer NOT NULL,
    limit_yen integer NOT NULL,
    state text NOT NULL,
    delivered integer,
    receipt_no text
) STRICT;

CREATE TABLE daily_draw (
    member_no integer NOT NULL,
    day integer NOT NULL,
    limit_yen integer NOT NULL,
    PRIMARY KEY (member_no, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE terminal (
    terminal_id text NOT NULL PRIMARY KEY,
    kind text NOT NULL,
    zone text NOT NULL,
    machine_no text,
    rate_id integer,
    key_hash blob NOT NULL,
    enabled integer NOT NULL,
    open_payout integer
) STRICT, WITHOUT ROWID;

CREATE TABLE staff (
    staff_id text NOT NULL PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL,
    password_hash blob NOT NULL,
    active integer NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_event (
    event_no integer NOT NULL PRIMARY KEY,
    at integer NOT NULL,
    day integer,
    staff_id text,
    terminal_id text NOT NULL,
    kind text NOT NULL,
    member_no integer,
    card_id text,
    detail text NOT NULL,
    prev_hash blob NOT NULL,
    hash blob NOT NULL
) STRICT;
