.PHONY: verify fix demo bench

# Changes no file of the project.
verify:
	./test

fix:
	cargo fmt --all
	cargo clippy --workspace --all-targets --all-features --fix --allow-dirty --allow-staged

demo:
	cargo run --release -- demo

# Side by side with PostgreSQL; absolute figures mean nothing.
bench:
	./bench/compare
