use super::*;

fn metrics() -> Arc<Metrics> {
    Metrics::new(&["deposit"], &["journal-writer"], ["epoch_old", "gap"], Counter::default())
}

fn has(metrics: &Metrics, line: &str) {
    let text = metrics.encode().unwrap();
    assert!(text.lines().any(|found| found == line), "{line:?} is not in\n{text}");
}

#[test]
fn commands_are_counted_by_name_and_status() {
    let metrics = metrics();
    metrics.answered("deposit", Status::Ok);
    metrics.answered("deposit", Status::Ok);
    metrics.answered("deposit", Status::Retry);
    has(&metrics, r#"duplex_commands_total{command="deposit",status="ok"} 2"#);
    has(&metrics, r#"duplex_commands_total{command="deposit",status="retry"} 1"#);
    has(&metrics, r#"duplex_commands_total{command="deposit",status="rejected"} 0"#);
}

#[test]
fn a_name_that_a_terminal_made_up_makes_no_series() {
    let metrics = metrics();
    metrics.answered("x\"} 1\nfake", Status::Rejected);
    has(&metrics, r#"duplex_commands_total{command="other",status="rejected"} 1"#);
    assert!(!metrics.encode().unwrap().contains("fake"));
}

#[test]
fn durations_are_observed_in_microseconds_by_step() {
    let metrics = metrics();
    metrics.steps.fdatasync.observe(Duration::from_micros(180));
    has(&metrics, r#"duplex_step_microseconds_sum{step="fdatasync"} 180.0"#);
    has(&metrics, r#"duplex_step_microseconds_bucket{le="128.0",step="fdatasync"} 0"#);
    has(&metrics, r#"duplex_step_microseconds_bucket{le="256.0",step="fdatasync"} 1"#);
    has(&metrics, "# UNIT duplex_step_microseconds microseconds");
}

#[test]
fn exactly_one_role_and_one_mode_are_set() {
    let metrics = metrics();
    metrics.stands(Role::Main, Mode::Pair, Epoch(3));
    metrics.stands(Role::Sub, Mode::Suspended, Epoch(4));
    has(&metrics, r#"duplex_role{role="main"} 0"#);
    has(&metrics, r#"duplex_role{role="sub"} 1"#);
    has(&metrics, r#"duplex_mode{mode="pair"} 0"#);
    has(&metrics, r#"duplex_mode{mode="suspended"} 1"#);
    has(&metrics, "duplex_epoch 4");
}

#[test]
fn positions_restarts_and_refused_frames_are_exported() {
    let metrics = metrics();
    metrics.positions.confirmed.set(41);
    metrics.restarts("journal-writer", 1);
    metrics.restarts("journal-writer", 1);
    metrics.refused_frame("epoch_old");
    has(&metrics, r#"duplex_position{of="confirmed"} 41"#);
    has(&metrics, r#"duplex_actor_restarts_total{actor="journal-writer"} 1"#);
    has(&metrics, r#"duplex_frames_refused_total{code="epoch_old"} 1"#);
    has(&metrics, r#"duplex_frames_refused_total{code="gap"} 0"#);
    has(&metrics, "duplex_peer_lag_milliseconds NaN");
}

#[test]
fn lost_log_lines_are_the_logs_own_count() {
    let lost = Counter::default();
    let metrics = Metrics::new(&[], &[], [], lost.clone());
    lost.inc_by(5);
    has(&metrics, "duplex_log_lines_lost_total 5");
}

#[test]
fn every_metric_has_a_help_text_and_the_text_ends_as_openmetrics_asks() {
    let text = metrics().encode().unwrap();
    let names = |mark: &str| {
        text.lines().filter_map(|line| Some(line.strip_prefix(mark)?.split(' ').next()?.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(names("# TYPE "), names("# HELP "));
    assert!(names("# HELP ").len() >= 16 && text.ends_with("# EOF\n"), "{text}");
}
