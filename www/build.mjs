// Builds the page into www/dist, which any static host can serve: node www/build.mjs. Makes the package first, if it is not there.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const run = (command, ...args) => execFileSync(command, args, { stdio: ["ignore", "ignore", "inherit"], cwd: path("../wasm") });

export async function build() {
  if (!existsSync(path("../wasm/dist/browser.js"))) {
    console.log("building the package first; that takes some minutes");
    run(path("../wasm/build"));
  }
  if (!existsSync(path("../wasm/node_modules/esbuild"))) run("npm", "ci", "--silent");
  const esbuild = createRequire(path("../wasm/package.json"))("esbuild");
  mkdirSync(path("dist"), { recursive: true });
  await esbuild.build({
    entryPoints: [path("js/page.js"), path("js/worker.js")],
    outdir: path("dist"),
    alias: { "@eventflux/state": path("../wasm/dist/browser.js") },
    bundle: true,
    format: "esm",
    minify: true,
    legalComments: "none",
    target: ["es2022"],
    logLevel: "warning",
  });
  for (const name of ["index.html", "style.css", "flights.json", "expected.json"]) copyFileSync(path(name), path(`dist/${name}`));
  // The bundled package looks for the wasm file beside itself.
  copyFileSync(path("../wasm/dist/eventflux.wasm"), path("dist/eventflux.wasm"));
  const flights = "flights-2013-01.csv.gz";
  copyFileSync(path(`../host/examples/flights/${flights}`), path(`dist/${flights}`));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build();
