// Makes the JavaScript of the package out of js/ and what Rust left in dist/: node bundle.mjs. wasm/build calls it.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

/** The two modules that are no sources: the bindings, and the packed wasm, which both inline entries load. */
const made = {
  name: "made",
  setup({ onResolve }) {
    onResolve({ filter: /\/glue\.js$/ }, () => ({ path: path("dist/glue.js"), sideEffects: false }));
    onResolve({ filter: /\/wasm-base64\.js$/ }, () => ({
      path: "./wasm-base64.js",
      external: true,
      sideEffects: false,
    }));
  },
};

const common = {
  bundle: true,
  minify: true,
  legalComments: "none",
  target: ["es2022"],
  outdir: path("dist"),
  plugins: [made],
  logLevel: "warning",
  metafile: true,
};

const entries = (...names) => names.map((name) => path(`js/${name}.ts`));
const modules = { ...common, format: "esm", splitting: true, chunkNames: "[name]-[hash]" };
const web = await build({ ...modules, entryPoints: entries("browser", "inline"), platform: "browser" });
await build({ ...modules, entryPoints: entries("node", "node-inline"), platform: "node" });
await build({
  ...common,
  entryPoints: entries("node"),
  platform: "node",
  format: "cjs",
  outExtension: { ".js": ".cjs" },
  define: { "import.meta.url": "moduleUrl" },
  banner: { js: 'const moduleUrl=require("node:url").pathToFileURL(__filename).href;' },
});

const packed = gzipSync(readFileSync(path("dist/eventflux.wasm")), { level: 9 }).toString("base64");
writeFileSync(path("dist/wasm-base64.js"), `export default "${packed}";\n`);

// The same declarations, once for those that take the package as CommonJS.
cpSync(path("dist/types"), path("dist/types-cjs"), { recursive: true });
writeFileSync(path("dist/types-cjs/package.json"), '{"type":"commonjs"}\n');

// What a browser loads beside the module.
const { outputs } = web.metafile;
const browser = Object.keys(outputs).find((name) => outputs[name].entryPoint?.endsWith("browser.ts"));
const loaded = [browser, ...outputs[browser].imports.map((chunk) => chunk.path)].map((name) => readFileSync(name));
const compressed = loaded.map((bytes) => brotliCompressSync(bytes).length);
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
console.log(
  `JavaScript in a browser: ${sum(loaded.map((bytes) => bytes.length))} bytes, ${sum(compressed)} with brotli`,
);
