/* Browsers start no worker for a page opened from a folder. There, and only there, a worker is a hidden frame: search works. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc =
        "<script>" +
        "importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done, fail) => {" +
        "  const script = document.createElement('script');" +
        "  script.src = url; script.onload = done; script.onerror = fail;" +
        "  document.body.append(script);" +
        "})), Promise.resolve());" +
        "postMessage = data => parent.dispatchEvent(new MessageEvent('from-frame', { data: data, source: window }));" +
        "</script>" +
        '<script src="' + new URL(url, document.baseURI) + '"></script>';
      window.addEventListener("from-frame", (event) => {
        if (event.source !== this.frame.contentWindow) return;
        const message = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(message);
        if (this.onmessage) this.onmessage(message);
      });
      this.frame.addEventListener("load", () => {
        const waiting = this.waiting;
        this.waiting = null;
        waiting.forEach((data) => this.postMessage(data));
      });
      document.body.append(this.frame);
    }
    postMessage(data) {
      if (this.waiting) return void this.waiting.push(data);
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data: data }));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
