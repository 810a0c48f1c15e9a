// Builds the page into www/dist, which any static host can serve: node www/build.mjs. Makes the package first, if it is not there.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const run = (directory, command, ...args) =>
  execFileSync(command, args, { stdio: ["ignore", "ignore", "inherit"], cwd: path(directory) });

/** Installs what a directory's package.json asks for, unless this package of it is there. */
function install(directory, name) {
  if (!existsSync(path(`${directory}/node_modules/${name}`))) run(directory, "npm", "ci", "--no-audit", "--no-fund", "--silent");
}

export async function build() {
  if (!existsSync(path("../wasm/dist/browser.js"))) {
    console.log("building the package first; that takes some minutes");
    run("../wasm", path("../wasm/build"));
  }
  install("../wasm", "esbuild");
  install(".", "uplot");
  const esbuild = createRequire(path("../wasm/package.json"))("esbuild");
  mkdirSync(path("dist"), { recursive: true });
  await esbuild.build({
    entryPoints: [path("js/page.js"), path("js/worker.js"), path("style.css")],
    entryNames: "[name]",
    outdir: path("dist"),
    alias: { "@eventflux/state": path("../wasm/dist/browser.js") },
    bundle: true,
    format: "esm",
    minify: true,
    legalComments: "none",
    target: ["es2022"],
    logLevel: "warning",
  });
  for (const name of ["index.html", "flights.json", "expected.json"]) copyFileSync(path(name), path(`dist/${name}`));
  // The library of the chart is bundled, and asks that its licence goes along.
  copyFileSync(path("node_modules/uplot/LICENSE"), path("dist/uplot-license.txt"));
  // The bundled package looks for the wasm file beside itself.
  copyFileSync(path("../wasm/dist/eventflux.wasm"), path("dist/eventflux.wasm"));
  const flights = "flights-2013-01.csv.gz";
  copyFileSync(path(`../host/examples/flights/${flights}`), path(`dist/${flights}`));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build();
