//! Programs that cannot be built.

#[test]
fn a_c_function_that_the_kernel_lacks_is_named() {
    let error = vm_tests::build_error(
        "unsafe extern \"C\" { fn no_such_function(); }\nfn main() { unsafe { no_such_function() } }\n",
    );
    assert!(
        error.contains("the program needs `no_such_function`, which Toro does not have"),
        "{error}"
    );
    assert!(
        error.contains("`no_such_function` is used by wrong"),
        "{error}"
    );
}
