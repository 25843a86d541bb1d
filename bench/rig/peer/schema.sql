-- The peer's tables: a member with a balance, and an append-only ledger whose command ids are unique.
CREATE TABLE member (
    id bigint PRIMARY KEY,
    card_no text NOT NULL UNIQUE,
    name text NOT NULL,
    status smallint NOT NULL DEFAULT 1,
    balance bigint NOT NULL DEFAULT 0,
    points bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    member_id bigint NOT NULL,
    kind smallint NOT NULL,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL,
    terminal_id int NOT NULL,
    command_id bigint NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO member (id, card_no, name, balance)
    SELECT i, 'C' || lpad(i::text, 8, '0'), 'Member number ' || i, 1000000 FROM generate_series(1, :members) i;

-- The best case: the whole command in one round trip.
CREATE FUNCTION deposit(of_member bigint, units bigint, terminal int, command bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    found_member member%ROWTYPE;
BEGIN
    SELECT * INTO STRICT found_member FROM member WHERE id = of_member FOR UPDATE;
    found_member.balance := found_member.balance + units;
    UPDATE member
        SET card_no = found_member.card_no, name = found_member.name, status = found_member.status,
            balance = found_member.balance, points = found_member.points + units / 100,
            version = found_member.version + 1, updated_at = now()
        WHERE id = of_member;
    INSERT INTO ledger (member_id, kind, amount, balance_after, terminal_id, command_id)
        VALUES (of_member, 1, units, found_member.balance, terminal, command);
    RETURN found_member.balance;
END $$;
ANALYZE;
