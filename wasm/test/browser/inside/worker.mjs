import { run } from "./run.mjs";

onmessage = async ({ data }) => postMessage(await run(...data));
