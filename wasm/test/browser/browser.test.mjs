// All tests of the package in a browser. One file, so that they share one browser and one server.
import "./same-engine.mjs";
import "./flights.mjs";
import "./api.mjs";
import "./kills.mjs";
import "./packed.mjs";
