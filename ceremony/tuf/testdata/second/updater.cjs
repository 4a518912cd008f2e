// Reads {NAME: {"root": FILE in base64, "urls": [URL, ...], "paths": [PATH, ...]}} and has
// an updater of each version of tuf-js, which trusts that root, update from one URL after
// the other. It writes for each version, by its name and number, and each NAME what the
// last update said, "" where nothing was wrong, and the content of each path, in base64,
// which was then found and downloaded.
const fs = require("fs");
const os = require("os");
const path = require("path");
const input = JSON.parse(fs.readFileSync(0, "utf8"));

async function update(Updater, { root, urls, paths }) {
  const verdict = { problem: "", found: {} };
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "updater-"));
  try {
    fs.writeFileSync(path.join(dir, "root.json"), Buffer.from(root, "base64"));
    for (const url of urls) {
      verdict.problem = "";
      verdict.found = {};
      try {
        const updater = new Updater({
          metadataDir: dir, metadataBaseUrl: `${url}/metadata`, targetDir: dir, targetBaseUrl: `${url}/targets`,
          config: { fetchRetries: 0, fetchRetry: 0 },
        });
        await updater.refresh();
        for (const name of paths) {
          const info = await updater.getTargetInfo(name);
          if (info) {
            const file = await updater.downloadTarget(info, path.join(dir, "download"));
            verdict.found[name] = fs.readFileSync(file).toString("base64");
          }
        }
      } catch (e) {
        verdict.problem = `${e.name}: ${e.message}`;
      }
    }
  } finally {
    fs.rmSync(dir, { recursive: true });
  }
  return verdict;
}

(async () => {
  const verdicts = {};
  for (const module of ["tuf-js", "tuf-js-6"]) {
    const { Updater } = require(module);
    const said = (verdicts[`tuf-js ${require(`${module}/package.json`).version}`] = {});
    for (const [name, one] of Object.entries(input)) {
      said[name] = await update(Updater, one);
    }
  }
  console.log(JSON.stringify(verdicts));
})();
