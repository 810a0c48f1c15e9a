// Numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const day = new Intl.DateTimeFormat("en", { timeZone: "UTC", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

const here = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const count = (number) => whole.format(number);
/** A time of the flights. */
export const time = (milliseconds) => day.format(milliseconds);
/** When something happened here. */
export const moment = (milliseconds) => here.format(milliseconds);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function bytes(number) {
  if (number < 1_000) return `${number} B`;
  const [unit, per] = number < 1e6 ? ["kB", 1e3] : number < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${(number / per).toFixed(number / per < 10 ? 1 : 0)} ${unit}`;
}

/** How much smaller it is stored. */
export const ratio = (raw, stored) => (raw > 0 ? `${(raw / stored).toFixed(1)}×` : "–");

function value(name, value) {
  if (value === null) return "none";
  if (Array.isArray(value)) return value.map((step) => `${step.step} ${time(step.timestamp)}`).join(", then ");
  if (typeof value === "number") return short.format(value);
  return typeof value === "string" && value.endsWith("Z") ? time(Date.parse(value)) : String(value);
}

/** A result in a line: its key, its window, and what was computed. */
export function result(line) {
  const { operator: _, key, window_start: from, window_end: to, ...computed } = JSON.parse(line);
  const parts = Object.entries(computed).map(([name, it]) =>
    Array.isArray(it) ? value(name, it) : `${name.replaceAll("_", " ")} ${value(name, it)}`,
  );
  const window = from === undefined ? "" : `${time(from)} to ${time(to)}`;
  return { key: Object.values(key).join(", "), text: [window, ...parts].filter(Boolean).join(" · ") };
}
