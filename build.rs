//! The migrations are compiled in, and the compiler does not see a new one by itself.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
