// Reads {"at": TIME, "chains": {NAME: [FILE in base64, ...]}} and writes for each
// name how many files a tuf-js client takes, and what it says of the next one.
// It trusts the first file and is given the others one after the other; the last
// root must not have expired at TIME, which the client asks before it goes on.
const { TrustedMetadataStore } = require("tuf-js/dist/store");

const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
const verdicts = {};
for (const [name, files] of Object.entries(input.chains)) {
  let taken = 0;
  let problem = "";
  try {
    const bytes = files.map((f) => Buffer.from(f, "base64"));
    const store = new TrustedMetadataStore(bytes[0]);
    for (taken = 1; taken < bytes.length; taken++) {
      store.updateRoot(bytes[taken]);
    }
    if (store.root.signed.isExpired(new Date(input.at))) {
      problem = "expired";
    }
  } catch (e) {
    problem = `${e.name}: ${e.message}`;
  }
  verdicts[name] = { taken, problem };
}
console.log(JSON.stringify(verdicts));
