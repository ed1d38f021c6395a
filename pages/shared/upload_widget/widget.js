const KEPT = "genolm-upload:";
const uploads = new WeakMap();
const sending = new Set();
const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit += 1) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

function readable(bytes) {
  if (bytes >= 1e9) return (bytes / 1e9).toFixed(2) + " GB";
  if (bytes >= 1e6) return (bytes / 1e6).toFixed(1) + " MB";
  return Math.max(1, Math.round(bytes / 1e3)) + " kB";
}

function clock(seconds) {
  if (seconds < 60) return Math.ceil(seconds) + " s";
  return Math.floor(seconds / 60) + " min " + Math.round(seconds % 60) + " s";
}

async function ask(method, url, token, body) {
  const headers = { "X-Genolm-Token": token };
  if (method === "POST") headers["Content-Type"] = "application/json";
  const answer = await fetch(url, { method, headers, body });
  const data = await answer.json().catch(() => ({}));
  return { status: answer.status, data };
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function remember(kept, upload) {
  try {
    if (upload) localStorage.setItem(kept, JSON.stringify(upload));
    else localStorage.removeItem(kept);
  } catch { /* storage may be off */ }
}

// The CRC-32 of the first bytes of a file. The browser's own digests are only there over HTTPS.
async function checksum(file, length, slice) {
  let crc = -1;
  for (let start = 0; start < length; start += slice) {
    const bytes = new Uint8Array(await file.slice(start, Math.min(length, start + slice)).arrayBuffer());
    for (let place = 0; place < bytes.length; place += 1) crc = CRC[(crc ^ bytes[place]) & 255] ^ (crc >>> 8);
  }
  return (crc ^ -1) >>> 0;
}

// Another file may have the same name, size and time: only an unfinished upload whose bytes are those of this file
// is taken up again, and none that another box of this page is sending.
async function begun(file, data, kept) {
  let memory = null;
  try { memory = JSON.parse(localStorage.getItem(kept)); } catch { /* storage may be off */ }
  if (!memory || sending.has(memory.id)) return null;
  const { status, data: found } = await ask("GET", data.url + "/" + memory.id, memory.token);
  if (status !== 200 || found.size !== file.size || !found.offset || found.offset >= file.size) return null;
  return (await checksum(file, found.offset, data.slice)) === found.crc ? { ...memory, offset: found.offset } : null;
}

async function taken(file, data, kept) {
  const before = await begun(file, data, kept);
  if (before && !sending.has(before.id)) return before;
  const made = await ask("POST", data.url, data.token, JSON.stringify({ name: file.name, size: file.size }));
  if (made.status !== 200) throw new Error(made.data.error || "The server did not take the file.");
  remember(kept, made.data);
  return made.data;
}

async function send(file, data, task, show) {
  const kept = KEPT + [file.name, file.size, file.lastModified].join("|");
  const upload = await taken(file, data, kept);
  sending.add(upload.id);
  try {
    await sendFrom(upload, file, data, task, show);
  } finally {
    sending.delete(upload.id);
  }
  if (task.stopped) return null;
  remember(kept, null);
  return { id: upload.id, token: upload.token };
}

async function sendFrom(upload, file, data, task, show) {
  const began = Date.now();
  const first = upload.offset;
  let offset = first;
  let failures = 0;
  while (offset < file.size && !task.stopped) {
    show(offset, file.size, offset > first ? ((Date.now() - began) / 1000 / (offset - first)) * (file.size - offset) : null);
    const slice = file.slice(offset, Math.min(file.size, offset + data.slice));
    try {
      const answer = await ask("PUT", data.url + "/" + upload.id + "?offset=" + offset, upload.token, slice);
      if (answer.status === 200 || answer.status === 409) {
        failures = answer.status === 200 ? 0 : failures + 1;
        offset = answer.data.offset;
      } else {
        throw new Error(answer.data.error || "status " + answer.status);
      }
    } catch (error) {
      failures += 1;
      if (failures > 5) throw new Error("The upload broke off (" + error.message + "). Choose the file again to go on where it stopped.");
      await pause(500 * failures);
    }
    if (failures > 5) throw new Error("The upload does not get on; choose the file again.");
  }
}

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const find = (selector) => parentElement.querySelector(selector);
  const box = find(".box"), input = find("input"), bar = find("progress"), status = find(".status"), stop = find(".stop");
  find(".label").textContent = data.label;
  find(".hint").textContent = data.hint;
  input.accept = data.accept;
  input.setAttribute("aria-label", data.label);

  function say(text, bad) {
    status.textContent = text;
    status.classList.toggle("bad", Boolean(bad));
  }

  async function start(file) {
    if (!file) return;
    const before = uploads.get(box);
    if (before) before.stopped = true;
    const task = { stopped: false };
    let ended;
    task.ended = new Promise((resolve) => { ended = resolve; });
    uploads.set(box, task);
    bar.hidden = stop.hidden = false;
    say(file.name + ": starting");
    if (before) await before.ended;
    try {
      const done = await send(file, data, task, (sent, size, eta) => {
        bar.value = sent / size;
        say(file.name + ": " + readable(sent) + " of " + readable(size) + (eta === null ? "" : ", " + clock(eta) + " to go"));
      });
      if (done) {
        say(file.name + " is here (" + readable(file.size) + ").");
        setStateValue("upload", done);
      } else if (uploads.get(box) === task) {
        say("Stopped. Choose the same file again to go on where it stopped.");
      }
    } catch (error) {
      say(error.message, true);
      setStateValue("upload", { failed: true });
    }
    ended();
    if (uploads.get(box) === task) bar.hidden = stop.hidden = true;
  }

  input.onchange = () => { start(input.files[0]); input.value = ""; };
  stop.onclick = () => { const task = uploads.get(box); if (task) task.stopped = true; };
  box.ondragover = (event) => { event.preventDefault(); box.classList.add("over"); };
  box.ondragleave = () => box.classList.remove("over");
  box.ondrop = (event) => {
    event.preventDefault();
    box.classList.remove("over");
    start(event.dataTransfer.files[0]);
  };
}
