/*
  What moves on the page of the upload service.

  It sends images, at most three at once, each under an idempotency key of its own that every repetition carries, so
  that a lost answer never makes a second upload. It shows what becomes of them from the service's own events: a state
  that an event told is never overwritten by an older one that a request brought. Whatever could grow has a bound, and
  changes are drawn once a frame however many events there are.

  It does not judge images (only the service sees what they are), keeps nothing but the email address, and loads
  nothing from anywhere else.
*/

const LIMITS = {
  imageBytes: 10 * 1024 * 1024,
  cards: 200,
  // Events not drawn yet. More than that (a page in the background draws nothing) and the list is asked for instead.
  undrawn: 400,
  sendingAtOnce: 3,
  // Images that wait, are under way or have failed; each has a card.
  unsent: 100,
  sendRetries: 5,
  sendMs: 5 * 60_000,
  retryDelayMsMin: 500,
  retryDelayMsMax: 20_000,
  reconnectMsMax: 15_000,
  // Of each kind, at the same time.
  toasts: 2,
  toastMs: 6_000,
  // Between two of one kind: what comes in between is gathered.
  toastEveryMs: 2_000,
  failureToastMs: 12_000,
  // The whole list is read anew at most this often.
  refreshEveryMs: 1_500,
  // The same file dropped twice within this time is one upload.
  doubleDropMs: 3_000,
  // A browser opens six connections to one host, all its tabs together; a page that nobody sees gives its own back.
  unseenMs: 20_000,
};

const STEPS = { thumbnail: 'Thumbnails', email: 'Email', notification: 'Notification' };

const byId = (id) => document.getElementById(id);
const list = byId('uploads');
const emailField = byId('email');
const filesField = byId('files');
const dropZone = byId('drop');

// ---- Small things ---------------------------------------------------------------------------------------------------

function clone(template) {
  return byId(template).content.cloneNode(true);
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Writes only what differs, so that an unchanged page stays untouched. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setIcon(svg, name) {
  const use = svg.querySelector('use');
  const reference = `#icon-${name}`;
  if (use.getAttribute('href') !== reference) use.setAttribute('href', reference);
}

/** Twice as long each time, bounded, and never the same for two pages that lost the same service. */
function backoffMs(attempt, max) {
  const full = Math.min(max, LIMITS.retryDelayMsMin * 2 ** attempt);
  return full / 2 + Math.random() * (full / 2);
}

/** crypto.randomUUID is there only for https and loopback; the service may be looked at from another machine. */
function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// ---- Words ----------------------------------------------------------------------------------------------------------

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const exact = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' });
const sizes = Object.fromEntries(
  [['byte', 'long', 0], ['kilobyte', 'short', 0], ['megabyte', 'short', 1]].map(([unit, unitDisplay, maximumFractionDigits]) => [
    unit,
    new Intl.NumberFormat('en', { style: 'unit', unit, unitDisplay, maximumFractionDigits }),
  ]),
);
const countOf = new Intl.NumberFormat('en');

function sizeText(bytes) {
  if (bytes < 1_000) return sizes.byte.format(bytes);
  if (bytes < 1_000_000) return sizes.kilobyte.format(bytes / 1_000);
  return sizes.megabyte.format(bytes / 1_000_000);
}

/** How far the service's clock is ahead of ours; ages and countdowns are told by the service's. */
let clockAheadMs = 0;

function serviceNow() {
  return Date.now() + clockAheadMs;
}

function noteClock(response) {
  const told = Date.parse(response.headers.get('Date') ?? '');
  // The header counts whole seconds and travelled a while: a small difference means nothing.
  if (!Number.isNaN(told)) clockAheadMs = Math.abs(told - Date.now()) > 5_000 ? told - Date.now() : 0;
}

function ageText(received) {
  const seconds = Math.max(0, (serviceNow() - received) / 1_000);
  if (seconds < 10) return 'just now';
  if (seconds < 60) return relative.format(-10 * Math.floor(seconds / 10), 'second');
  if (seconds < 3_600) return relative.format(-Math.floor(seconds / 60), 'minute');
  if (seconds < 86_400) return relative.format(-Math.floor(seconds / 3_600), 'hour');
  return relative.format(-Math.floor(seconds / 86_400), 'day');
}

function inText(ms) {
  const seconds = Math.ceil(ms / 1_000);
  if (seconds <= 0) return 'now';
  return seconds < 100 ? `in ${seconds}\u00a0s` : `in ${Math.round(seconds / 60)}\u00a0min`;
}

function plural(count, one, many) {
  return `${countOf.format(count)} ${count === 1 ? one : many}`;
}

// ---- Messages -------------------------------------------------------------------------------------------------------

const toastKinds = {
  note: { region: byId('toasts-polite'), icon: 'bell', ms: LIMITS.toastMs, many: 'notifications', waiting: [], gathered: 0, said: 0 },
  hint: { region: byId('toasts-polite'), icon: 'waiting', ms: LIMITS.toastMs, many: 'messages', waiting: [], gathered: 0, said: 0 },
  failure: { region: byId('toasts-assertive'), icon: 'failed', ms: LIMITS.failureToastMs, many: 'failures', waiting: [], gathered: 0, said: 0 },
};

/** Says something, by sight and to a screen reader. What comes in a burst is said in one sentence. */
function say(kindName, text) {
  const kind = toastKinds[kindName];
  kind.waiting.push(text);
  kind.gathered += 1;
  if (kind.waiting.length > LIMITS.toasts) kind.waiting.shift();
  if (kind.gathered > 1) return;
  setTimeout(() => {
    const { waiting: texts, gathered } = kind;
    Object.assign(kind, { waiting: [], gathered: 0, said: Date.now() });
    if (gathered > texts.length) texts.splice(0, texts.length, `${countOf.format(gathered)} ${kind.many}, the last: ${texts.at(-1)}`);
    for (const each of texts) showToast(kindName, kind, each);
  }, Math.max(100, kind.said + LIMITS.toastEveryMs - Date.now()));
}

function showToast(kindName, kind, text) {
  const toast = clone('toast').firstElementChild;
  toast.dataset.kind = kindName;
  setIcon(toast.querySelector('.icon'), kind.icon);
  toast.querySelector('p').textContent = text;
  const dismiss = toast.querySelector('button');
  dismiss.setAttribute('aria-label', `Dismiss: ${text}`);
  dismiss.addEventListener('click', () => {
    const next = toast.nextElementSibling ?? toast.previousElementSibling;
    toast.remove();
    (next?.querySelector('button') ?? byId('uploads-title')).focus();
  });
  // It does not go while somebody reads or reaches for it.
  const leave = () => (toast.matches(':hover, :focus-within') ? setTimeout(leave, kind.ms / 2) : toast.remove());
  setTimeout(leave, kind.ms);
  kind.region.append(toast);
  while (kind.region.children.length > LIMITS.toasts) kind.region.firstElementChild.remove();
}

// ---- Cards ----------------------------------------------------------------------------------------------------------

/** Accepted uploads on the page, by id: { node, document, seen }. `seen` is the moment its document is known to be of. */
const cards = new Map();

function newCard(name) {
  const node = clone('card').firstElementChild;
  const heading = node.querySelector('.card-name');
  heading.textContent = name;
  heading.title = name;
  heading.id = `name-${newKey()}`;
  node.querySelector('article').setAttribute('aria-labelledby', heading.id);
  return node;
}

function uploadCard(upload) {
  const node = newCard(upload.name);
  node.dataset.upload = upload.id;
  const received = new Date(upload.received_at);
  node.querySelector('.card-meta').append(
    element('span', { textContent: sizeText(upload.bytes) }),
    element('time', { dateTime: upload.received_at, title: exact.format(received), textContent: ageText(received) }),
    element('span', { className: 'card-email', textContent: upload.email }),
    element('span', {}, element('a', { href: upload.original_url, textContent: 'Original', ariaLabel: `Original of ${upload.name}` })),
  );
  const steps = clone('steps').firstElementChild;
  steps.setAttribute('aria-label', `Steps of ${upload.name}`);
  for (const step of steps.children) {
    step.append(clone('step'));
    step.querySelector('.step-name').textContent = STEPS[step.dataset.step];
  }
  node.querySelector('.card-rest').append(steps);
  return node;
}

function drawCard(card) {
  const { node, document: upload } = card;
  const failed = Object.keys(STEPS).filter((step) => upload.steps[step].state === 'failed');
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  for (const name of Object.keys(STEPS)) {
    const retry = name === failed[0] ? { count: failed.length, asked: card.retryAsked } : null;
    drawStep(node.querySelector(`[data-step="${name}"]`), upload, name, retry);
  }
  // A button that did its work is gone; whoever pressed it by keyboard stays on this card.
  if (focused && !focused.isConnected) node.querySelector('.card-name').focus();
  drawFrame(node.querySelector('.frame'), upload);
}

function drawStep(node, upload, name, retry) {
  const step = upload.steps[name];
  node.dataset.state = step.state;
  setIcon(node.querySelector('.step-icon'), step.state);
  setText(node.querySelector('.step-state'), stepText(step));
  setText(node.querySelector('.step-reason'), stepReason(step));
  let button = node.querySelector('button');
  if (!retry) {
    button?.remove();
    return;
  }
  if (!button) {
    button = element('button', { className: 'button', type: 'button' });
    button.addEventListener('click', () => retryUpload(upload.id));
    node.append(button);
  }
  // One request redrives whatever has failed of an upload, and the button says so.
  const word = retry.count > 1 ? `Retry all ${retry.count}` : 'Retry';
  setText(button, word);
  button.ariaLabel = retry.count > 1 ? `${word} failed steps of ${upload.name}` : `${word} ${STEPS[name]} of ${upload.name}`;
  button.ariaDisabled = String(Boolean(retry.asked));
}

function stepText(step) {
  switch (step.state) {
    case 'waiting': return 'Waiting';
    case 'running': return step.attempt > 1 ? `Running, attempt ${step.attempt} of ${step.max_attempts}` : 'Running';
    case 'retrying': return `Retrying ${step.next_attempt_at ? inText(Date.parse(step.next_attempt_at) - serviceNow()) : 'soon'}`;
    case 'done': return 'Done';
    case 'failed': return step.attempt > 1 ? `Failed after ${step.attempt} attempts` : 'Failed';
    default: return step.state;
  }
}

function stepReason(step) {
  if (step.state === 'failed') return step.reason ?? 'No reason was given.';
  if (step.state !== 'retrying') return '';
  return `Attempt ${step.attempt} of ${step.max_attempts} failed${step.reason ? `: ${step.reason}` : ''}`;
}

/** The picture in the frame: a sign until there are thumbnails, then the small one, which leads to the large one. */
function drawFrame(frame, upload) {
  const step = upload.steps.thumbnail;
  const made = step.thumbnails ?? [];
  const small = made.find((thumbnail) => thumbnail.size === 'small') ?? made[0];
  const image = frame.querySelector('img');
  if (!small) {
    image?.closest('a').remove();
    frame.querySelector('.frame-icon').toggleAttribute('hidden', false);
    setIcon(frame.querySelector('.frame-icon'), step.state === 'failed' ? 'image-broken' : 'image');
    return;
  }
  if (image?.getAttribute('src') === small.url) return;
  image?.closest('a').remove();
  const large = made.find((thumbnail) => thumbnail.size === 'large') ?? made.at(-1);
  const picture = element('img', { alt: `Thumbnail of ${upload.name}`, decoding: 'async', loading: 'lazy', sizes: '96px' });
  picture.addEventListener('error', () => frame.querySelector('.frame-icon').toggleAttribute('hidden', false));
  picture.srcset = made.filter((thumbnail) => thumbnail.size !== 'large').map(({ url, width }) => `${url} ${width}w`).join(', ');
  picture.src = small.url;
  frame.querySelector('.frame-icon').toggleAttribute('hidden', true);
  frame.append(element('a', { href: large.url }, picture));
}

/** Puts an upload on the page or brings its card up to date. */
function showUpload({ document: upload, seen, live }) {
  let card = cards.get(upload.id);
  if (card && card.seen > seen) return;
  const before = card?.document;
  if (card) {
    Object.assign(card, { document: upload, seen });
  } else {
    const older = Array.from(list.children).find((node) => {
      const other = cards.get(node.dataset.upload);
      return other && other.document.received_at < upload.received_at;
    });
    if (!older && cards.size >= cardsAllowed()) return;
    card = { node: uploadCard(upload), document: upload, seen, retryAsked: false };
    if (live) card.node.dataset.new = '';
    cards.set(upload.id, card);
    list.insertBefore(card.node, older ?? null);
  }
  drawCard(card);
  if (!live) return;
  for (const [name, title] of Object.entries(STEPS)) {
    if (upload.steps[name].state === 'failed' && before?.steps[name].state !== 'failed') {
      say('failure', `${title} failed for ${upload.name}: ${stepReason(upload.steps[name])}`);
    }
  }
}

function cardsAllowed() {
  return LIMITS.cards - sendings.length;
}

function removeCard(id) {
  const { node } = cards.get(id);
  cards.delete(id);
  if (node.contains(document.activeElement)) byId('uploads-title').focus();
  node.remove();
}

/** The oldest uploads leave the page first; images that are not accepted yet stay, they are the reader's own. */
function trimCards() {
  while (cards.size > cardsAllowed()) removeCard(list.lastElementChild.dataset.upload);
}

function drawSummary() {
  let working = 0;
  let failed = 0;
  for (const { document: upload } of cards.values()) {
    const states = Object.keys(STEPS).map((name) => upload.steps[name].state);
    if (states.includes('failed')) failed += 1;
    else if (states.some((state) => state !== 'done')) working += 1;
  }
  const parts = [cards.size >= cardsAllowed() ? `the newest ${cards.size}` : cards.size > 0 ? plural(cards.size, 'upload', 'uploads') : ''];
  if (working > 0) parts.push(`${countOf.format(working)} in progress`);
  if (failed > 0) parts.push(`${countOf.format(failed)} failed`);
  setText(byId('summary'), parts.filter(Boolean).join(' · '));
  byId('empty').hidden = !listKnown || list.children.length > 0;
}

async function retryUpload(id) {
  const card = cards.get(id);
  if (!card || card.retryAsked) return;
  card.retryAsked = true;
  drawCard(card);
  const asked = now;
  try {
    let response = await fetch(`/uploads/${encodeURIComponent(id)}/retry`, { method: 'POST' });
    // Nothing dead: another page was quicker. What is shown here is old.
    if (response.status === 409) response = await fetch(`/uploads/${encodeURIComponent(id)}`);
    if (!response.ok) throw new Error((await problemOf(response)).detail);
    undraw({ document: await response.json(), seen: asked, live: false });
  } catch (error) {
    say('failure', `${card.document.name} could not be retried: ${error instanceof TypeError ? 'the service cannot be reached.' : error.message}`);
  } finally {
    card.retryAsked = false;
    if (cards.get(id) === card) drawCard(card);
  }
}

async function problemOf(response) {
  const problem = await response.json().catch(() => null);
  return { title: problem?.title, detail: problem?.detail ?? problem?.title ?? `The service answered ${response.status}.` };
}

// ---- Live: events, and the list whenever some may have been missed -----------------------------------------------------

/** Counts events; a request remembers the count it was made at, and what it brings is not newer than that. */
let now = 0;
/** What is known but not drawn yet, by id. */
const undrawn = new Map();
/** Events about an upload whose own card still waits for its answer here: two cards for one image would confuse. */
const held = new Map();
let frameAsked = false;
let listKnown = false;

function undraw(entry) {
  const { id } = entry.document;
  if ((undrawn.get(id)?.seen ?? -1) > entry.seen) return;
  undrawn.set(id, entry);
  if (undrawn.size > LIMITS.undrawn) {
    undrawn.clear();
    held.clear();
    refreshWhenSeen = true;
  }
  askFrame();
}

function askFrame() {
  if (frameAsked) return;
  frameAsked = true;
  requestAnimationFrame(drawFrameOfPage);
}

let refreshWhenSeen = false;

function drawFrameOfPage() {
  frameAsked = false;
  if (refreshWhenSeen) {
    refreshWhenSeen = false;
    refresh();
  }
  const entries = Array.from(undrawn.values());
  undrawn.clear();
  for (const entry of entries) {
    if (!cards.has(entry.document.id) && mayBeOurs(entry.document)) held.set(entry.document.id, entry);
    else showUpload(entry);
  }
  trimCards();
  drawSummary();
}

function mayBeOurs(upload) {
  return sendings.some((sending) => sending.xhr && sending.file.name === upload.name && sending.file.size === upload.bytes);
}

function releaseHeld() {
  for (const entry of held.values()) undraw(entry);
  held.clear();
}

let refreshing = false;
let refreshAgain = false;

/** Asks for the list; while one is on its way, once more after it. */
async function refresh() {
  if (refreshing) {
    refreshAgain = true;
    return;
  }
  refreshing = true;
  try {
    do {
      // In a flood the list changes faster than it can be read: whoever looks on must not become a load of its own.
      if (refreshAgain) await new Promise((go) => setTimeout(go, LIMITS.refreshEveryMs));
      refreshAgain = false;
      const asked = now;
      const response = await fetch(`/uploads?limit=${LIMITS.cards}`);
      if (!response.ok) throw new Error(`the list answered ${response.status}`);
      noteClock(response);
      const { uploads } = await response.json();
      const listed = new Set(uploads.map((upload) => upload.id));
      for (const [id, card] of cards) {
        if (!listed.has(id) && card.seen <= asked) removeCard(id);
      }
      for (const upload of uploads) undraw({ document: upload, seen: asked, live: false });
      listKnown = true;
      askFrame();
    } while (refreshAgain);
    if (source) showConnection('live', 'dot', 'Live');
  } catch {
    lost();
  } finally {
    refreshing = false;
  }
}

function showConnection(state, icon, text) {
  const node = byId('connection');
  node.dataset.state = state;
  setIcon(node.querySelector('.icon'), icon);
  setText(byId('connection-text'), text);
}

let source = null;
let reconnects = 0;
let reconnectTimer = 0;

function connect() {
  clearTimeout(reconnectTimer);
  source?.close();
  source = new EventSource('/events');
  const told = (use) => (event) => {
    now += 1;
    use(event.data ? JSON.parse(event.data) : null);
  };
  source.addEventListener('open', () => {
    reconnects = 0;
    refresh();
  });
  source.addEventListener('upload', told((upload) => undraw({ document: upload, seen: now, live: true })));
  source.addEventListener('notification', told((notification) => say('note', notification.text)));
  source.addEventListener('resync', told(refresh));
  source.addEventListener('error', lost);
}

/** The browser would reconnect by itself, but all pages at the same moment, and not after every kind of failure. */
function lost() {
  source?.close();
  source = null;
  showConnection('lost', 'ring', 'Reconnecting');
  clearTimeout(reconnectTimer);
  reconnectTimer = setTimeout(connect, backoffMs(reconnects, LIMITS.reconnectMsMax));
  reconnects += 1;
}

let unseenTimer = 0;

function seenOrNot() {
  clearTimeout(unseenTimer);
  if (document.hidden) {
    unseenTimer = setTimeout(() => {
      if (sendings.some(isUnderWay)) return seenOrNot();
      clearTimeout(reconnectTimer);
      source?.close();
      source = null;
    }, LIMITS.unseenMs);
  } else if (!source) {
    connect();
  }
}

// ---- Sending --------------------------------------------------------------------------------------------------------

/** Images that are not accepted yet, oldest first: waiting, sending, retrying or failed. */
const sendings = [];
/** What was accepted a moment ago, by fingerprint, so that a double drop is one upload. */
const justAccepted = new Map();

const isUnderWay = (sending) => sending.state !== 'failed';

function fingerprint(file) {
  return `${file.name}\u0000${file.size}\u0000${file.lastModified}`;
}

function addFiles(files) {
  if (files.length === 0 || !emailIsFine()) return;
  let left = 0;
  for (const file of files) {
    const print = fingerprint(file);
    const same = sendings.find((sending) => fingerprint(sending.file) === print);
    if (same?.state === 'failed' && !same.hopeless) sendAgain(same);
    else if (same || justAccepted.has(print)) say('hint', `${file.name} is already on its way.`);
    else if (sendings.length >= LIMITS.unsent) left += 1;
    else addFile(file);
  }
  if (left > 0) {
    say('failure', `${LIMITS.unsent} images wait already, so ${plural(left, 'image was', 'images were')} not taken. Add them when these are through.`);
  }
  askFrame();
  sendNext();
}

function addFile(file) {
  const sending = { file, key: newKey(), email: emailField.value.trim(), state: 'waiting', retries: 0, sent: 0, reason: '', resumeAt: 0, xhr: null, timer: 0, node: newCard(file.name) };
  sending.node.querySelector('.card-meta').append(element('span', { textContent: sizeText(file.size) }));
  const body = clone('sending').firstElementChild;
  body.querySelector('progress').ariaLabel = `Upload of ${file.name}`;
  sending.node.querySelector('.card-rest').append(body);
  sendings.push(sending);
  list.prepend(sending.node);
  if (file.size > LIMITS.imageBytes) {
    sending.hopeless = true;
    fail(sending, `This image has ${sizeText(file.size)}, and at most 10 MiB (${sizeText(LIMITS.imageBytes)}) can be uploaded. A smaller copy will do.`);
  } else {
    drawSending(sending);
  }
}

function drawSending(sending) {
  const body = sending.node.querySelector('.sending');
  body.dataset.state = sending.state;
  setIcon(body.querySelector('.step-icon'), sending.state === 'sending' ? 'running' : sending.state);
  setText(body.querySelector('.step-state'), sendingText(sending));
  setText(body.querySelector('.step-reason'), sending.reason);
  const progress = body.querySelector('progress');
  progress.hidden = sending.state === 'failed';
  progress.value = sending.sent;
  drawSendingActions(sending, body.querySelector('.sending-actions'));
}

function sendingText(sending) {
  switch (sending.state) {
    case 'waiting': return 'Waiting for its turn';
    case 'sending': return sending.sent < 1 ? `${Math.floor(sending.sent * 100)} %` : 'Storing';
    case 'retrying': return `Retrying ${inText(sending.resumeAt - Date.now())}, attempt ${sending.retries + 1} of ${LIMITS.sendRetries + 1}`;
    default: return 'Failed';
  }
}

function drawSendingActions(sending, node) {
  const wanted = sending.state !== 'failed' ? ['Cancel'] : sending.hopeless ? ['Dismiss'] : ['Try again', 'Dismiss'];
  if (Array.from(node.children, (button) => button.textContent).join() === wanted.join()) return;
  const focused = node.contains(document.activeElement);
  node.replaceChildren(...wanted.map((word) => {
    const button = element('button', { className: 'button', type: 'button', textContent: word, ariaLabel: `${word}: ${sending.file.name}` });
    button.addEventListener('click', () => (word === 'Try again' ? sendAgain(sending) : forget(sending)));
    return button;
  }));
  if (focused) sending.node.querySelector('.card-name').focus();
}

/** Starts what waits, as long as there is room; what was added first goes first. */
function sendNext() {
  let room = LIMITS.sendingAtOnce - sendings.filter((sending) => sending.state === 'sending').length;
  for (const sending of sendings) {
    if (room <= 0) return;
    if (sending.state !== 'waiting') continue;
    room -= 1;
    send(sending);
  }
}

async function send(sending) {
  const { file } = sending;
  Object.assign(sending, { state: 'sending', sent: 0, reason: '' });
  drawSending(sending);
  // A folder, or a file that changed or went away since, fails here with a reason; the request would only say "network".
  const readable = await file.slice(0, 1).arrayBuffer().then(() => true, () => false);
  if (sending.state !== 'sending') return;
  if (!readable) return fail(sending, 'This file cannot be read. It may be a folder, or was changed since it was chosen.');

  const form = new FormData();
  if (sending.email) form.append('email', sending.email);
  form.append('image', file, file.name);
  const xhr = new XMLHttpRequest();
  sending.xhr = xhr;
  xhr.open('POST', '/uploads');
  xhr.responseType = 'json';
  xhr.timeout = LIMITS.sendMs;
  xhr.setRequestHeader('Idempotency-Key', sending.key);
  xhr.upload.addEventListener('progress', (event) => progressed(sending, event.lengthComputable ? event.loaded / event.total : 0));
  xhr.upload.addEventListener('load', () => progressed(sending, 1));
  xhr.addEventListener('load', () => answered(sending, xhr));
  xhr.addEventListener('error', () => sendLater(sending, 'The service cannot be reached.', 0));
  xhr.addEventListener('timeout', () => sendLater(sending, 'The service did not answer in time.', 0));
  xhr.send(form);
}

function progressed(sending, sent) {
  sending.sent = Math.min(1, sent);
  askSendingFrame();
}

let sendingFrameAsked = false;

function askSendingFrame() {
  if (sendingFrameAsked) return;
  sendingFrameAsked = true;
  requestAnimationFrame(() => {
    sendingFrameAsked = false;
    for (const sending of sendings) if (sending.state === 'sending') drawSending(sending);
  });
}

function answered(sending, xhr) {
  if (xhr.status === 202 && xhr.response?.id) return accepted(sending, xhr.response);
  const reason = xhr.response?.detail ?? xhr.response?.title ?? `The service answered ${xhr.status}.`;
  if (xhr.status >= 500 || xhr.status === 429 || xhr.status === 408) {
    return sendLater(sending, reason, retryAfterMs(xhr.getResponseHeader('Retry-After')));
  }
  sending.code = xhr.response?.code;
  return fail(sending, reason);
}

/** Seconds or a date, as HTTP has it; 0 when there is none. */
function retryAfterMs(header) {
  if (!header) return 0;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - serviceNow();
  return Math.min(Math.max(0, ms || 0), 10 * 60_000);
}

async function accepted(sending, { id, status_url: statusUrl }) {
  const print = fingerprint(sending.file);
  justAccepted.set(print, id);
  setTimeout(() => justAccepted.delete(print), LIMITS.doubleDropMs);
  const asked = now;
  let upload = null;
  if (!held.has(id) && !undrawn.has(id) && !cards.has(id)) {
    // No event came first: ask, so that the card does not have to wait for one. Without an answer, an event will do. What
    // has failed by then is news to whoever has just sent it.
    upload = await fetch(statusUrl).then((response) => (response.ok ? response.json() : null), () => null);
    if (sending.state === 'gone') return;
  }
  const entry = held.get(id) ?? undrawn.get(id) ?? (upload && { document: upload, seen: asked, live: true });
  held.delete(id);
  const focused = sending.node.contains(document.activeElement);
  drop(sending);
  if (entry && !cards.has(id)) showUpload(entry);
  if (focused) (cards.get(id)?.node.querySelector('.card-name') ?? byId('uploads-title')).focus();
}

/** Once more after a while, under the same key: the service knows whether it has this image already. */
function sendLater(sending, reason, delayMsMin) {
  if (sending.retries >= LIMITS.sendRetries) return fail(sending, `${reason} It was tried ${sending.retries + 1} times.`);
  const delay = Math.max(delayMsMin, backoffMs(sending.retries, LIMITS.retryDelayMsMax));
  sending.retries += 1;
  Object.assign(sending, { state: 'retrying', reason, sent: 0, xhr: null, resumeAt: Date.now() + delay });
  sending.timer = setTimeout(() => {
    sending.state = 'waiting';
    drawSending(sending);
    sendNext();
  }, delay);
  drawSending(sending);
  releaseHeld();
  sendNext();
}

function fail(sending, reason) {
  Object.assign(sending, { state: 'failed', reason, xhr: null });
  drawSending(sending);
  say('failure', `${sending.file.name} was not uploaded. ${reason}`);
  releaseHeld();
  sendNext();
}

function sendAgain(sending) {
  if (!emailIsFine()) return;
  // The key stays. The address is the one thing a reader can put right.
  if (sending.code === 'invalid_email') sending.email = emailField.value.trim();
  Object.assign(sending, { state: 'waiting', reason: '', retries: 0 });
  drawSending(sending);
  sendNext();
}

/** The reader gives an image up. If the service has taken it already, its events will show it. */
function forget(sending) {
  sending.xhr?.abort();
  const neighbour = sending.node.nextElementSibling ?? sending.node.previousElementSibling;
  drop(sending);
  (neighbour?.querySelector('.card-name') ?? byId('uploads-title')).focus();
}

function drop(sending) {
  clearTimeout(sending.timer);
  Object.assign(sending, { state: 'gone', xhr: null });
  sendings.splice(sendings.indexOf(sending), 1);
  sending.node.remove();
  releaseHeld();
  askFrame();
  sendNext();
}

// ---- The email address -----------------------------------------------------------------------------------------------

const EMAIL_KEY = 'tidegate-uploads-email';

/** Storage may be forbidden; then the address is simply not remembered. */
function stored(use) {
  try {
    return use(localStorage);
  } catch {
    return null;
  }
}

function emailIsFine() {
  const fine = emailField.checkValidity();
  showEmailProblem(fine);
  if (!fine) emailField.focus();
  return fine;
}

function showEmailProblem(fine) {
  emailField.toggleAttribute('aria-invalid', false);
  if (!fine) emailField.setAttribute('aria-invalid', 'true');
  setText(byId('email-problem'), fine ? '' : 'This is not an email address. Correct it or leave it empty, then add the images again.');
}

emailField.value = stored((storage) => storage.getItem(EMAIL_KEY)) ?? '';
emailField.addEventListener('change', () => {
  if (emailField.checkValidity()) stored((storage) => storage.setItem(EMAIL_KEY, emailField.value.trim()));
});
emailField.addEventListener('input', () => {
  if (emailField.checkValidity()) showEmailProblem(true);
});

// ---- Ways in ---------------------------------------------------------------------------------------------------------

filesField.addEventListener('change', () => {
  const files = Array.from(filesField.files);
  // Emptied, so that the same file can be chosen again.
  filesField.value = '';
  addFiles(files);
});

// The whole page takes a drop: one that misses the zone would otherwise replace the page by the image.
let draggedOver = 0;
const hasFiles = (event) => Array.from(event.dataTransfer?.types ?? []).includes('Files');

function showDragged(over) {
  draggedOver = over;
  dropZone.toggleAttribute('data-over', over > 0);
}

addEventListener('dragenter', (event) => {
  if (hasFiles(event)) showDragged(draggedOver + 1);
});
addEventListener('dragleave', (event) => {
  if (hasFiles(event)) showDragged(Math.max(0, draggedOver - 1));
});
addEventListener('dragover', (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = 'copy';
});
addEventListener('drop', (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  showDragged(0);
  addFiles(Array.from(event.dataTransfer.files));
});
addEventListener('paste', (event) => addFiles(Array.from(event.clipboardData?.files ?? [])));

addEventListener('beforeunload', (event) => {
  if (sendings.some(isUnderWay)) event.preventDefault();
});
document.addEventListener('visibilitychange', seenOrNot);
addEventListener('online', connect);

// Ages and countdowns.
setInterval(() => {
  if (document.hidden) return;
  for (const { node, document: upload } of cards.values()) {
    const time = node.querySelector('time');
    setText(time, ageText(Date.parse(upload.received_at)));
    for (const name of Object.keys(STEPS)) {
      if (upload.steps[name].state === 'retrying') setText(node.querySelector(`[data-step="${name}"] .step-state`), stepText(upload.steps[name]));
    }
  }
  for (const sending of sendings) if (sending.state === 'retrying') drawSending(sending);
}, 1_000);

connect();
