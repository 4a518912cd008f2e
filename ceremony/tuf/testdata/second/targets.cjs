// Reads {NAME: {"root": FILE in base64, "targets": FILE, "delegated": {ROLE: FILE},
// "paths": [PATH, ...]}} and writes for each version of tuf-js, by its name and number,
// and each NAME what is wrong with the targets, by the keys of the root, and with the
// delegated roles, by those of the targets, "" where nothing is; and for each path the
// roles to which the targets delegate it, in the order in which they are asked.
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
const verdicts = {};
for (const module of ["tuf-js", "tuf-js-6"]) {
  const { TrustedMetadataStore } = require(`${module}/dist/store`);
  const said = (verdicts[`tuf-js ${require(`${module}/package.json`).version}`] = {});
  for (const [name, { root, targets, delegated, paths }] of Object.entries(input)) {
    const verdict = (said[name] = { problem: "", roles: {} });
    const bytes = (file) => Buffer.from(file, "base64");
    try {
      const store = new TrustedMetadataStore(bytes(root));
      const Metadata = store.root.constructor;
      const read = (file) => Metadata.fromJSON("targets", JSON.parse(bytes(file).toString("utf8")));
      const top = read(targets);
      store.root.verifyDelegate("targets", top);
      for (const [role, file] of Object.entries(delegated ?? {})) {
        top.verifyDelegate(role, read(file));
      }
      for (const path of paths ?? []) {
        verdict.roles[path] = [];
        for (const { role, terminating } of top.signed.delegations?.rolesForTarget(path) ?? []) {
          verdict.roles[path].push(role);
          if (terminating) {
            break;
          }
        }
      }
    } catch (e) {
      verdict.problem = `${e.name}: ${e.message}`;
    }
  }
}
console.log(JSON.stringify(verdicts));
