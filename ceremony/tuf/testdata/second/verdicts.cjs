// Reads {"at": TIME, "served": {NAME: {"roots": [FILE in base64, ...], "timestamp":
// FILE or null}}} and writes for each version of tuf-js, by its name and number, and
// each NAME how many root files a client takes, and what it says of the next one.
// It trusts the first file and is given the others one after the other; the last
// root must not have expired at TIME, which the client asks before it goes on to
// the timestamp, where there is one.
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
const verdicts = {};
for (const module of ["tuf-js", "tuf-js-6"]) {
  const { TrustedMetadataStore } = require(`${module}/dist/store`);
  const said = (verdicts[`tuf-js ${require(`${module}/package.json`).version}`] = {});
  for (const [name, { roots, timestamp }] of Object.entries(input.served)) {
    let taken = 0;
    let problem = "";
    try {
      const bytes = roots.map((f) => Buffer.from(f, "base64"));
      const store = new TrustedMetadataStore(bytes[0]);
      for (taken = 1; taken < bytes.length; taken++) {
        store.updateRoot(bytes[taken]);
      }
      if (store.root.signed.isExpired(new Date(input.at))) {
        problem = "expired";
      } else if (timestamp) {
        store.referenceTime = new Date(input.at);
        store.updateTimestamp(Buffer.from(timestamp, "base64"));
      }
    } catch (e) {
      problem = `${e.name}: ${e.message}`;
    }
    said[name] = { taken, problem };
  }
}
console.log(JSON.stringify(verdicts));
