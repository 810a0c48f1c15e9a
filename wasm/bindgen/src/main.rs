//! `eventflux-bindgen IN.wasm OUT_DIRECTORY`: splits a module of eventflux-wasm into plain wasm and its JavaScript.

use std::path::Path;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, directory] = arguments.as_slice() else {
        eprintln!("usage: eventflux-bindgen IN.wasm OUT_DIRECTORY");
        return ExitCode::from(2);
    };
    match generate(module, Path::new(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{module}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(module: &str, directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut bindgen = Bindgen::new();
    // Where the module is, the entries of the package say.
    bindgen
        .input_path(module)
        .out_name("core")
        .web(true)?
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(true)
        .typescript(true);
    bindgen.generate(directory)?;
    Ok(())
}
