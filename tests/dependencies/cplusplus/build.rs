fn main() {
    println!("cargo::rerun-if-changed=src/steps.cpp");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(true)
        .file("src/steps.cpp")
        .compile("steps");
}
