//! The scenarios that come with the program, in the order of a run.

use super::scenario::Scenario;

pub(super) fn built_in() -> Vec<Scenario> {
    let files = [
        include_str!("../../../scenarios/main-killed.toml"),
        include_str!("../../../scenarios/sub-killed.toml"),
        include_str!("../../../scenarios/witness-killed.toml"),
        include_str!("../../../scenarios/witness-isolated.toml"),
        include_str!("../../../scenarios/main-dies-without-witness.toml"),
        include_str!("../../../scenarios/main-dies-with-a-tail.toml"),
        include_str!("../../../scenarios/power-cut.toml"),
        include_str!("../../../scenarios/both-stopped.toml"),
        include_str!("../../../scenarios/stale-server-first.toml"),
        include_str!("../../../scenarios/main-frozen.toml"),
        include_str!("../../../scenarios/main-isolated.toml"),
        include_str!("../../../scenarios/sub-isolated.toml"),
        include_str!("../../../scenarios/main-cut-off.toml"),
        include_str!("../../../scenarios/main-unheard.toml"),
        include_str!("../../../scenarios/sub-unheard.toml"),
        include_str!("../../../scenarios/entries-lost.toml"),
        include_str!("../../../scenarios/heartbeats-lost.toml"),
        include_str!("../../../scenarios/packets-lost.toml"),
        include_str!("../../../scenarios/packets-lost-between.toml"),
        include_str!("../../../scenarios/main-off-the-lan.toml"),
        include_str!("../../../scenarios/lan-dead.toml"),
        include_str!("../../../scenarios/direct-cable-pulled.toml"),
        include_str!("../../../scenarios/cable-flaps.toml"),
        include_str!("../../../scenarios/link-flaps.toml"),
        include_str!("../../../scenarios/link-flaps-ten-minutes.toml"),
        include_str!("../../../scenarios/direct-cable-flaps.toml"),
        include_str!("../../../scenarios/main-stopped.toml"),
        include_str!("../../../scenarios/switch-over.toml"),
        include_str!("../../../scenarios/killed-while-switching.toml"),
        include_str!("../../../scenarios/killed-while-returning.toml"),
        include_str!("../../../scenarios/store-locked.toml"),
        include_str!("../../../scenarios/processors-busy.toml"),
    ];
    files.iter().map(|text| Scenario::read("a scenario of this program", text).expect("a test reads them all")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_this_program_can_be_read_is_called_as_its_file_and_says_what_it_is_for() {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).expect("they are there");
        let mut files: Vec<String> =
            files.map(|file| file.expect("it has a name").file_name().into_string().expect("letters")).collect();
        files.sort();
        let mut names: Vec<String> = built_in().iter().map(|scenario| format!("{}.toml", scenario.name)).collect();
        names.sort();
        assert_eq!(names, files);
        assert!(built_in().iter().all(|scenario| !scenario.proves.is_empty() && !scenario.rows.is_empty()));
    }
}
