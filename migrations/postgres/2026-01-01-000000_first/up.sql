-- The same tables as SQLite's. No default, trigger or sequence: every value comes from an entry.
-- Text keys are ordered by their bytes, as SQLite orders them: a digest reads the rows in key order.

CREATE TABLE applied (
    applied_no bigint NOT NULL PRIMARY KEY,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    digest bytea NOT NULL
);

-- Before the first entry.
INSERT INTO applied (applied_no, epoch, sequence, digest) VALUES (1, 0, 0, decode(repeat('00', 32), 'hex'));

CREATE TABLE epoch_history (
    epoch bigint NOT NULL PRIMARY KEY,
    first_sequence bigint NOT NULL,
    first_digest bytea NOT NULL
);

CREATE TABLE command_record (
    sequence bigint NOT NULL PRIMARY KEY,
    epoch bigint NOT NULL,
    terminal_id text NOT NULL,
    command_id bytea NOT NULL,
    body_hash bytea NOT NULL,
    day integer,
    response bytea NOT NULL
);

-- The id is 16 random bytes, so it finds a record alone; the terminal is compared afterwards.
CREATE INDEX command_record_command_id ON command_record (command_id);

CREATE TABLE site (
    site_no bigint NOT NULL PRIMARY KEY,
    name text NOT NULL,
    profile text NOT NULL,
    rate_table_version bigint NOT NULL,
    daily_limit_yen bigint NOT NULL,
    min_age_years bigint NOT NULL,
    current_day integer,
    last_day integer,
    records_kept_from integer,
    last_day_seq bigint NOT NULL,
    last_member_no bigint NOT NULL,
    last_payout_id bigint NOT NULL,
    last_ledger_no bigint NOT NULL,
    ledger_hash bytea NOT NULL,
    last_event_no bigint NOT NULL,
    event_hash bytea NOT NULL
);

CREATE TABLE business_day (
    day integer NOT NULL PRIMARY KEY,
    seq bigint NOT NULL,
    state text NOT NULL,
    opened_at bigint NOT NULL,
    opened_by text NOT NULL,
    closed_at bigint,
    closed_by text,
    last_ledger_no bigint NOT NULL,
    chain_hash bytea NOT NULL,
    offsite_copied_at bigint
);

CREATE TABLE member (
    member_no bigint NOT NULL PRIMARY KEY,
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
    version bigint NOT NULL
);

CREATE TABLE card (
    card_id text COLLATE "C" NOT NULL PRIMARY KEY,
    member_no bigint,
    kind text NOT NULL,
    state text NOT NULL,
    pin_hash bytea,
    pin_fail bigint NOT NULL,
    valid_until integer,
    issued_day integer NOT NULL,
    replaced_by text
);

CREATE TABLE rate (
    rate_id bigint NOT NULL PRIMARY KEY,
    medium text NOT NULL,
    name text NOT NULL,
    lend_units bigint NOT NULL,
    lend_yen bigint NOT NULL,
    payout_step bigint NOT NULL,
    max_units bigint NOT NULL,
    active integer NOT NULL
);

CREATE TABLE account (
    account_id bigint NOT NULL PRIMARY KEY,
    member_no bigint NOT NULL,
    rate_id bigint NOT NULL,
    balance bigint NOT NULL,
    last_ledger_no bigint NOT NULL,
    version bigint NOT NULL
);

CREATE TABLE ledger (
    ledger_no bigint NOT NULL PRIMARY KEY,
    day integer NOT NULL,
    at bigint NOT NULL,
    account_id bigint NOT NULL,
    kind text NOT NULL,
    delta bigint NOT NULL,
    balance_after bigint NOT NULL,
    ref_type text,
    ref_id text,
    terminal_id text NOT NULL,
    staff_id text,
    command_id bytea NOT NULL,
    reason text,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL
);

CREATE TABLE payout (
    payout_id bigint NOT NULL PRIMARY KEY,
    account_id bigint NOT NULL,
    day integer NOT NULL,
    terminal_id text NOT NULL,
    units bigint NOT NULL,
    limit_yen bigint NOT NULL,
    state text NOT NULL,
    delivered bigint,
    receipt_no text
);

CREATE TABLE daily_draw (
    member_no bigint NOT NULL,
    day integer NOT NULL,
    limit_yen bigint NOT NULL,
    PRIMARY KEY (member_no, day)
);

CREATE TABLE terminal (
    terminal_id text COLLATE "C" NOT NULL PRIMARY KEY,
    kind text NOT NULL,
    zone text NOT NULL,
    machine_no text,
    rate_id bigint,
    key_hash bytea NOT NULL,
    enabled integer NOT NULL,
    open_payout bigint
);

CREATE TABLE staff (
    staff_id text COLLATE "C" NOT NULL PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL,
    password_hash bytea NOT NULL,
    active integer NOT NULL
);

CREATE TABLE audit_event (
    event_no bigint NOT NULL PRIMARY KEY,
    at bigint NOT NULL,
    day integer,
    staff_id text,
    terminal_id text NOT NULL,
    kind text NOT NULL,
    member_no bigint,
    card_id text,
    detail text NOT NULL,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL
);
