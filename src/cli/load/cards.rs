//! Which cards the simulated members carry.

use std::str::FromStr;

use crate::cli::import::sample;

/// Below the eight digits that sample cards are numbered with.
const CARDS_MAX: u64 = 99_999_999;

/// Cards `PREFIX00000001` to `PREFIX` and COUNT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cards {
    prefix: String,
    count: u64,
}

impl FromStr for Cards {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (prefix, count) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} is not PREFIX:COUNT"))?;
        match count.parse() {
            Ok(count) if (1..=CARDS_MAX).contains(&count) => Ok(Self { prefix: prefix.into(), count }),
            _ => Err(format!("{count:?} is not a count between 1 and {CARDS_MAX}")),
        }
    }
}

impl Cards {
    /// The cards that terminal number `index` of `terminals` meets: all of them, or, where a member sits at one seat at a time, its share.
    pub(super) fn for_terminal(&self, index: usize, terminals: usize, own_share: bool) -> Draw {
        let (index, terminals) = (index as u64, terminals as u64);
        let (first, step) = if own_share { (index % self.count, terminals) } else { (0, 1) };
        let choices = (self.count - first).div_ceil(step);
        let seed = getrandom::u64().unwrap_or(index);
        Draw { prefix: self.prefix.clone(), first, step, choices, state: seed }
    }
}

/// Draws cards, and numbers for whatever else is drawn, without a system call each.
pub(super) struct Draw {
    prefix: String,
    first: u64,
    step: u64,
    choices: u64,
    state: u64,
}

impl Draw {
    /// Writes a random card's id into `card` (cleared first) and returns the card's number.
    pub(super) fn card(&mut self, card: &mut String) -> u64 {
        let number = self.first + self.below(self.choices) * self.step + 1;
        sample::write_card_id(card, &self.prefix, number);
        number
    }

    /// A number below `limit` (at least 1). Its bias is at most `limit` / 2^32: nothing for choosing cards.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        // splitmix64: statistically good, four operations.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_with_shares_of_their_own_never_meet_the_same_card() {
        let cards: Cards = "C:10".parse().unwrap();
        let mut owner = std::collections::HashMap::new();
        for index in 0..3 {
            let mut draw = cards.for_terminal(index, 3, true);
            for _ in 0..200 {
                let number = draw.card(&mut String::new());
                assert!((1..=10).contains(&number));
                assert_eq!(*owner.entry(number).or_insert(index), index);
            }
        }
        assert_eq!(owner.len(), 10);
    }

    #[test]
    fn a_range_that_is_not_prefix_and_count_is_refused_with_its_text() {
        for text in ["C", "C:0", "C:x", "C:100000000"] {
            assert!(text.parse::<Cards>().is_err(), "{text}");
        }
    }
}
