//! What units are worth in yen. The only place where the ledger rounds.

use super::rows::Rate;

/// Yen of `units`, rounded **up** to whole yen: a draw never uses less of the limit than it is worth, so no sum of draws can be
/// worth more than the limit. `units` within `Units::MAX`, so the product stays far inside an `i64`.
pub fn yen(rate: &Rate, units: i64) -> i64 {
    (units * rate.lend_yen + rate.lend_units - 1) / rate.lend_units
}

/// The most units that [`yen`] does not put above `yen_left`.
pub fn units_within(rate: &Rate, yen_left: i64) -> i64 {
    yen_left.max(0) * rate.lend_units / rate.lend_yen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::rows::Medium;

    fn rate(lend_units: i64, lend_yen: i64) -> Rate {
        Rate {
            rate_id: 1,
            medium: Medium::Medal,
            name: "medal".into(),
            lend_units,
            lend_yen,
            payout_step: 1,
            max_units: 50_000,
            active: true,
        }
    }

    #[test]
    fn forty_seven_medals_for_a_thousand_yen_are_rounded_up_once() {
        let medal = rate(47, 1_000);
        for (units, expected) in [(0, 0), (1, 22), (46, 979), (47, 1_000), (48, 1_022), (50, 1_064), (94, 2_000), (470, 10_000)] {
            assert_eq!(yen(&medal, units), expected, "{units} medals");
        }
        assert_eq!(units_within(&medal, 10_000), 470);
        assert_eq!(units_within(&medal, 21), 0);
    }

    #[test]
    fn whole_yen_are_never_rounded() {
        assert_eq!(yen(&rate(125, 500), 2_500), 10_000);
        assert_eq!(units_within(&rate(125, 500), 10_000), 2_500);
    }

    proptest::proptest! {
        #[test]
        fn the_units_left_fit_the_yen_left_and_one_more_does_not(
            lend_units in 1..1_000_000_i64, lend_yen in 1..1_000_000_i64, left in 0..1_000_000_i64,
        ) {
            let rate = rate(lend_units, lend_yen);
            let units = units_within(&rate, left);
            proptest::prop_assert!(yen(&rate, units) <= left);
            proptest::prop_assert!(yen(&rate, units + 1) > left);
        }
    }
}
