//! `eventflux-bindgen IN.wasm OUT_DIRECTORY`: splits a module of eventflux-wasm into plain wasm, `eventflux.wasm`, and
//! its JavaScript, `glue.js` with `glue.d.ts`. The functions of the wasm are put in an order that compresses well, and names
//! lose their hashes.
//!
//! wasm-bindgen writes a module with one instance for a whole page. Here each state has an instance of its own, so that
//! one that traps takes no other along, and memory goes with it: the bindings are wrapped in a function that makes a
//! fresh set of them. `abandon` is for an instance that has trapped or is closed: what the user forgot later is not freed in
//! it, and who still refers to something of it does not keep its memory. The
//! version of wasm-bindgen is fixed, and so is what is cut here; if it ever differs, this fails.

mod names;
mod order;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

/// Name that wasm-bindgen gives its files.
const NAME: &str = "core";

type Failure = Box<dyn std::error::Error>;

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

fn generate(module: &str, directory: &Path) -> Result<(), Failure> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(NAME).web(true)?.typescript(true);
    bindgen.remove_name_section(true).remove_producers_section(true).omit_default_module_path(true);
    bindgen.generate(directory)?;
    let file = |ending: &str| directory.join(format!("{NAME}{ending}"));
    let (wasm, bindings) = names::without_hashes(&fs::read(file("_bg.wasm"))?, &fs::read_to_string(file(".js"))?)?;
    fs::write(directory.join("glue.js"), wrapped(&bindings)?)?;
    fs::write(directory.join("glue.d.ts"), types(&fs::read_to_string(file(".d.ts"))?)?)?;
    fs::write(directory.join("eventflux.wasm"), order::by_likeness(&wasm)?)?;
    for ending in [".js", ".d.ts", "_bg.wasm", "_bg.wasm.d.ts"] {
        fs::remove_file(file(ending))?;
    }
    Ok(())
}

/// The part of a text before a mark.
fn before<'a>(text: &'a str, mark: &str) -> Result<&'a str, Failure> {
    text.find(mark).map(|at| &text[..at]).ok_or_else(|| format!("wasm-bindgen's output lacks `{mark}`").into())
}

/// Where it is asked whether there are finalisers, of each class.
const FINALIZATION: &str = "(typeof FinalizationRegistry === 'undefined')";

/// What is cut out of the bindings: how it begins, and how it ends.
const CUT: [(&str, &str); 13] = [
    // Whatever runs this wasm has `encodeInto`.
    ("if (!('encodeInto' in cachedTextEncoder)) {", "\n}\n"),
    // Texts are always given with a way to make them longer.
    ("    if (realloc === undefined) {", "\n    }\n"),
    // The package has classes of its own around these.
    ("if (Symbol.dispose) Handle", "free;\n"),
    ("if (Symbol.dispose) Past", "free;\n"),
    ("if (Symbol.dispose) Task", "free;\n"),
    // Whatever has tables of references has them too.
    (FINALIZATION, "    : "),
    (FINALIZATION, "    : "),
    (FINALIZATION, "    : "),
    // Kept, an instance would keep its memory.
    ("    wasmInstance = instance;", "\n"),
    ("    wasmModule = module;", "\n"),
    ("wasmModule,", " "),
    ("wasmInstance,", " "),
    ("    return wasm;", "\n"),
];

fn without(body: &str, (start, end): (&str, &str)) -> Result<String, Failure> {
    let kept = before(body, start)?;
    let rest = &body[kept.len()..];
    Ok(format!("{kept}{}", &rest[before(rest, end)?.len() + end.len()..]))
}

/// The bindings as a function that makes them, without what loads a module: the package does that.
fn wrapped(bindings: &str) -> Result<String, Failure> {
    let body = before(bindings, "async function __wbg_load(")?.replace("\nexport class ", "\nclass ");
    let body = body.replace("\nexport function ", "\nfunction ").replace("/* @ts-self-types=\"./core.d.ts\" */", "");
    let body = CUT.into_iter().try_fold(body, |body, cut| without(&body, cut))?;
    if body.contains("export ") || body.contains("import.meta") {
        return Err("wasm-bindgen's output exports something else than classes and functions".into());
    }
    Ok(format!(
        "export function createGlue() {{\n{body}\n\
         const init = async module => \
         __wbg_finalize_init(await WebAssembly.instantiate(module, __wbg_get_imports()));\n\
         const abandon = () => {{\n  cachedDataViewMemory0 = cachedUint8ArrayMemory0 = null;\n  \
         wasm = new Proxy({{}}, {{ get: () => () => {{}} }});\n}};\n\
         return {{ Handle, newestHead, init, abandon }};\n}}\n"
    ))
}

fn types(declarations: &str) -> Result<String, Failure> {
    let classes = before(declarations, "export type InitInput")?;
    let classes = classes.replace("export class ", "declare class ").replace("export function ", "declare function ");
    Ok(format!(
        "{classes}\nexport type {{ Handle, Past, Task }};\n\n\
         /** Bindings of one instance. */\n\
         export interface Glue {{\n  Handle: typeof Handle;\n  newestHead: typeof newestHead;\n  \
         /** Makes the instance. */\n  init(module: WebAssembly.Module): Promise<void>;\n  \
         /** From now on nothing calls into the instance; what is freed is forgotten. */\n  abandon(): void;\n}}\n\n\
         /** A fresh set of bindings, which wants an instance. */\nexport function createGlue(): Glue;\n"
    ))
}
