// The panel that says why the stream cannot go on, and what to choose from.

import { byId, element, setText } from "./dom.js";

/** Shows it. Each choice is a text and what it does. */
export function showNotice({ kind = "warning", title, text, error, choices }) {
  const notice = byId("notice");
  notice.dataset.kind = kind;
  setText("notice-title", title);
  setText("notice-text", text);
  byId("notice-error").hidden = !error;
  if (error) {
    setText("notice-code", error.code);
    setText("notice-message", error.message);
  }
  const buttons = choices.map(([label, act], index) => {
    const button = element("button", { type: "button", className: index === 0 ? "primary" : "" }, label);
    button.addEventListener("click", act);
    return button;
  });
  byId("notice-choices").replaceChildren(...buttons);
  notice.hidden = false;
  notice.focus();
}

export function hideNotice() {
  const notice = byId("notice");
  const hadFocus = notice.contains(document.activeElement);
  notice.hidden = true;
  if (hadFocus) byId("run").querySelector("button:not(:disabled)")?.focus();
}
