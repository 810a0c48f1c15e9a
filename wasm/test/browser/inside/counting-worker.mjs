import * as api from "/dist/browser.js";
import { count } from "./kills.mjs";

onmessage = ({ data }) => count(api, { name: data, tell: postMessage });
