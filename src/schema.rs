//! The tables of both engines. Types are bigint, integer, text and binary only, so that both carry the same values; a test compares
//! this file with what the migrations make.

// The pair's own tables.
diesel::table! {
    applied (applied_no) {
        applied_no -> BigInt,
        epoch -> BigInt,
        sequence -> BigInt,
        digest -> Binary,
    }
}

diesel::table! {
    epoch_history (epoch) {
        epoch -> BigInt,
        first_sequence -> BigInt,
        first_digest -> Binary,
    }
}

diesel::table! {
    command_record (sequence) {
        sequence -> BigInt,
        epoch -> BigInt,
        terminal_id -> Text,
        command_id -> Binary,
        body_hash -> Binary,
        day -> Nullable<Integer>,
        response -> Binary,
    }
}

// The application's tables.
diesel::table! {
    site (site_no) {
        site_no -> BigInt,
        name -> Text,
        profile -> Text,
        rate_table_version -> BigInt,
        daily_limit_yen -> BigInt,
        min_age_years -> BigInt,
        current_day -> Nullable<Integer>,
        last_day -> Nullable<Integer>,
        records_kept_from -> Nullable<Integer>,
        last_day_seq -> BigInt,
        last_member_no -> BigInt,
        last_payout_id -> BigInt,
        last_ledger_no -> BigInt,
        ledger_hash -> Binary,
        last_event_no -> BigInt,
        event_hash -> Binary,
    }
}

diesel::table! {
    business_day (day) {
        day -> Integer,
        seq -> BigInt,
        state -> Text,
        opened_at -> BigInt,
        opened_by -> Text,
        closed_at -> Nullable<BigInt>,
        closed_by -> Nullable<Text>,
        last_ledger_no -> BigInt,
        chain_hash -> Binary,
        offsite_copied_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    member (member_no) {
        member_no -> BigInt,
        state -> Text,
        name -> Nullable<Text>,
        kana -> Nullable<Text>,
        birth_day -> Nullable<Integer>,
        sex -> Nullable<Text>,
        postal -> Nullable<Text>,
        address -> Nullable<Text>,
        phone -> Nullable<Text>,
        email -> Nullable<Text>,
        dm_ok -> Integer,
        id_checked_by -> Nullable<Text>,
        joined_day -> Integer,
        last_used_day -> Nullable<Integer>,
        active_card -> Nullable<Text>,
        version -> BigInt,
    }
}

diesel::table! {
    card (card_id) {
        card_id -> Text,
        member_no -> Nullable<BigInt>,
        kind -> Text,
        state -> Text,
        pin_hash -> Nullable<Binary>,
        pin_fail -> BigInt,
        valid_until -> Nullable<Integer>,
        issued_day -> Integer,
        replaced_by -> Nullable<Text>,
    }
}

diesel::table! {
    rate (rate_id) {
        rate_id -> BigInt,
        medium -> Text,
        name -> Text,
        lend_units -> BigInt,
        lend_yen -> BigInt,
        payout_step -> BigInt,
        max_units -> BigInt,
        active -> Integer,
    }
}

diesel::table! {
    account (account_id) {
        account_id -> BigInt,
        member_no -> BigInt,
        rate_id -> BigInt,
        balance -> BigInt,
        last_ledger_no -> BigInt,
        version -> BigInt,
    }
}

diesel::table! {
    ledger (ledger_no) {
        ledger_no -> BigInt,
        day -> Integer,
        at -> BigInt,
        account_id -> BigInt,
        kind -> Text,
        delta -> BigInt,
        balance_after -> BigInt,
        ref_type -> Nullable<Text>,
        ref_id -> Nullable<Text>,
        terminal_id -> Text,
        staff_id -> Nullable<Text>,
        command_id -> Binary,
        reason -> Nullable<Text>,
        prev_hash -> Binary,
        hash -> Binary,
    }
}

diesel::table! {
    payout (payout_id) {
        payout_id -> BigInt,
        account_id -> BigInt,
        day -> Integer,
        terminal_id -> Text,
        units -> BigInt,
        limit_yen -> BigInt,
        state -> Text,
        delivered -> Nullable<BigInt>,
        receipt_no -> Nullable<Text>,
    }
}

diesel::table! {
    daily_draw (member_no, day) {
        member_no -> BigInt,
        day -> Integer,
        limit_yen -> BigInt,
    }
}

diesel::table! {
    terminal (terminal_id) {
        terminal_id -> Text,
        kind -> Text,
        zone -> Text,
        machine_no -> Nullable<Text>,
        rate_id -> Nullable<BigInt>,
        key_hash -> Binary,
        enabled -> Integer,
        open_payout -> Nullable<BigInt>,
    }
}

diesel::table! {
    staff (staff_id) {
        staff_id -> Text,
        name -> Text,
        role -> Text,
        password_hash -> Binary,
        active -> Integer,
    }
}

diesel::table! {
    audit_event (event_no) {
        event_no -> BigInt,
        at -> BigInt,
        day -> Nullable<Integer>,
        staff_id -> Nullable<Text>,
        terminal_id -> Text,
        kind -> Text,
        member_no -> Nullable<BigInt>,
        card_id -> Nullable<Text>,
        detail -> Text,
        prev_hash -> Binary,
        hash -> Binary,
    }
}
