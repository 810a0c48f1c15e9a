// The packed tarball, installed into empty projects, as its users have it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import test, { before } from "node:test";
import { isLong, root, temporaryDirectory } from "./harness.mjs";
import { newPage } from "./shared.mjs";

const workplace = temporaryDirectory();
const project = join(workplace, "project");

/** Runs a program in the project; its standard output. */
function run(program, ...args) {
  const options = { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] };
  try {
    return execFileSync(program, args, options);
  } catch (error) {
    throw new Error(`${program} ${args.join(" ")}: ${error.stderr}${error.stdout}`);
  }
}

const tool = (name, ...args) => run(join(project, "node_modules/.bin", name), ...args);
const file = (name, text) => writeFileSync(join(project, name), text);

before(() => {
  const wasm = join(root, "wasm");
  execFileSync("npm", ["pack", "--silent", "--pack-destination", workplace], { cwd: wasm });
  const tarball = readdirSync(workplace).find((name) => name.endsWith(".tgz"));
  mkdirSync(project);
  file("package.json", '{ "name": "empty", "private": true }\n');
  const { devDependencies } = JSON.parse(readFileSync(join(wasm, "package.json"), "utf8"));
  const packages = ["esbuild", "typescript", "@types/node"].map((name) => `${name}@${devDependencies[name]}`);
  if (isLong) packages.push("vite", "webpack", "webpack-cli");
  run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefer-offline", `../${tarball}`, ...packages);
});

test("the tarball has its licence and its readme", () => {
  const installed = (name) => readFileSync(join(project, "node_modules/@eventflux/state", name), "utf8");
  assert.equal(installed("LICENSE"), readFileSync(join(root, "LICENSE"), "utf8"));
  assert.equal(installed("README.md"), readFileSync(join(root, "wasm/README.md"), "utf8"));
});

/** What each project does: the same for all. */
const USE = `
  const state = await open({ name: "packed", backend: "memory" });
  state.set("a", { n: 1 });
  await state.checkpoint({ label: "kept" });
  const labels = [];
  for await (const { label } of state.checkpoints()) labels.push(label);
  const answer = JSON.stringify([state.get("a"), labels]);
  await state.close();
`;
const ANSWER = '[{"n":1},["kept"]]';
const PAGE = `import { open } from "@eventflux/state";\n(async () => {${USE} document.title = answer; })();\n`;

for (const entry of ["@eventflux/state", "@eventflux/state/inline"]) {
  test(`packed: Node, as a module: ${entry}`, () => {
    file("use.mjs", `import { open } from "${entry}";\n${USE}\nconsole.log(answer);\n`);
    assert.equal(run(process.execPath, "use.mjs").trim(), ANSWER);
  });
}

test("packed: Node, as CommonJS", () => {
  file("use.cjs", `const { open } = require("@eventflux/state");\n(async () => {${USE} console.log(answer); })();\n`);
  assert.equal(run(process.execPath, "use.cjs").trim(), ANSWER);
});

test("packed: the types, strict, for modules and CommonJS", () => {
  const text = `import { open, type Checkpoint, StateError } from "@eventflux/state";
export async function use(): Promise<number | undefined> {
  const state = await open({ name: "typed", backend: "memory", durability: "relaxed", retain: { max: 3 } });
  state.set("a", { n: 1 });
  const taken: Checkpoint = await state.checkpoint({ positions: { p: 1n } });
  try { await state.restore(taken.id); } catch (error) { if (error instanceof StateError && error.code === "CORRUPT") return; }
  // @ts-expect-error: there is no such backend
  await open({ name: "typed", backend: "nowhere" });
  return state.get<{ n: number }>("a")?.n;
}
`;
  file("typed.mts", text);
  file("typed.cts", text);
  const options = ["--strict", "--noEmit", "--target", "es2022"];
  for (const declared of [["es2022,dom,esnext.disposable", "--typeRoots", "none"], ["es2022", "--types", "node"]]) {
    tool("tsc", ...options, "--lib", ...declared, "--module", "nodenext", "typed.mts", "typed.cts");
  }
  if (isLong) tool("tsc", ...options, "--lib", "es2022,dom", "--module", "esnext", "--moduleResolution", "bundler", "typed.mts");
});

/** What a page made by a bundler shows: its title. */
async function titleOf(directory) {
  const types = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
  const server = createServer((request, response) => {
    const path = request.url === "/" ? "/index.html" : request.url;
    try {
      const bytes = readFileSync(join(project, directory, path));
      response.setHeader("content-type", types[extname(path)] ?? "text/plain").end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const page = await newPage({ origin: `http://localhost:${server.address().port}/` });
  await page.waitForFunction(() => document.title !== "");
  const title = await page.title();
  await page.close();
  server.close();
  return title;
}

const html = (script) => `<!doctype html><meta charset="utf-8"><script type="module" src="${script}"></script>\n`;

test("packed: esbuild, with the wasm beside the bundle, and inline", async () => {
  mkdirSync(join(project, "esbuild"));
  file("page.js", PAGE);
  tool("esbuild", "page.js", "--bundle", "--format=esm", "--minify", "--outfile=esbuild/page.js", "--log-level=error");
  const wasm = join(project, "node_modules/@eventflux/state/dist/eventflux.wasm");
  writeFileSync(join(project, "esbuild/eventflux.wasm"), readFileSync(wasm));
  file("esbuild/index.html", html("page.js"));
  assert.equal(await titleOf("esbuild"), ANSWER);

  mkdirSync(join(project, "inline"));
  file("inline.js", PAGE.replace("@eventflux/state", "@eventflux/state/inline"));
  tool("esbuild", "inline.js", "--bundle", "--format=iife", "--outfile=inline/page.js", "--log-level=error");
  file("inline/index.html", html("page.js"));
  assert.equal(await titleOf("inline"), ANSWER);
});

const skip = isLong ? false : "with EVENTFLUX_LONG";

test("packed: Vite", { skip }, async () => {
  file("page.js", PAGE);
  file("index.html", html("/page.js"));
  tool("vite", "build", "--logLevel", "error", "--outDir", "vite");
  assert.equal(await titleOf("vite"), ANSWER);
});

test("packed: webpack", { skip }, async () => {
  file("page.js", PAGE);
  tool("webpack", "--mode", "production", "--entry", "./page.js", "--output-path", join(project, "webpack"));
  file("webpack/index.html", html("main.js"));
  assert.equal(await titleOf("webpack"), ANSWER);
});
