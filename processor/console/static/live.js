// Keeps the page up to date: when the console says that something changed, the parts marked data-live are taken from a
// fresh copy of the page. Forms are never replaced; without this script the page works the same, on reload.
const PAUSE_MS = 5000; // between two announcements: a busy account shall not talk without end
const source = new EventSource(document.currentScript.dataset.source);
let waiting, news;
function announce(sentence) {
  news = sentence;
  waiting ??= setTimeout(() => {
    waiting = undefined;
    document.getElementById("news").textContent = news;
  }, PAUSE_MS);
}
source.onmessage = async () => {
  const answer = await fetch(location.pathname + location.search); // which may ask for a language
  if (!answer.ok || answer.redirected) return source.close();
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next || part.contains(document.activeElement)) continue;
    for (const open of part.querySelectorAll("details[open]")) fresh.getElementById(open.id)?.setAttribute("open", "");
    if (next.dataset.news !== part.dataset.news) announce(next.dataset.news);
    part.replaceWith(document.adoptNode(next));
  }
};
