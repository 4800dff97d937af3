//! Builds again when the pages or the migrations changed: `web/dist` and `migrations` are embedded.

fn main() {
    // an empty folder lets the program be checked before the pages are built; it then says so where a page is asked for
    if let Err(error) = std::fs::create_dir_all("web/dist") {
        println!("cargo:warning=web/dist cannot be made: {error}");
    }
    println!("cargo:rerun-if-changed=web/dist");
    // a migration file that is new changes no file the compiler has read
    println!("cargo:rerun-if-changed=migrations");
}
