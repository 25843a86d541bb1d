-- What commands look for without knowing a key. Each index costs every write of its table, so there are only these two; the ledger has
-- none: a day is one piece of its numbers.

-- Is this person a member already? At most 60 characters and a day: far below what an index of either engine can hold.
CREATE INDEX member_person ON member (kana, birth_day);

-- Which payouts are open? As many rows as terminals are at it, whatever the age of the site.
CREATE INDEX payout_open ON payout (day) WHERE state = 'authorised';
