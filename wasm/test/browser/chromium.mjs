// The browser that tests drive, without its errands on the network.

export const CHROMIUM = process.env.EVENTFLUX_CHROMIUM ?? "/usr/bin/chromium";
export const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
