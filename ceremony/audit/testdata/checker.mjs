// A second checker of ceremony records, for Node with its own modules alone:
//
//	node checker.mjs [--rehearsal] [--root FILE.pem]... DIR
//
// Written from docs/formats.md alone: where it and the program differ, one of them is wrong, or the document. It judges
// the tree, checkpoints, possessions, attestations, the plan's digest, the hashes of files and the signatures of roots.
// Of other events it knows what the tables of that document have, which it reads. It prints what is wrong, a line each,
// or "good". Exit status: 0 good, 1 something is wrong, 2 usage, 3 verified so far, but not finished.
import { createHash, createPublicKey, verify, X509Certificate } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'

const wrong = [], open = []
const need = (ok, what) => { if (!ok) throw new Error(what) }
function judge(where, f) { // whatever is malformed is a finding where it stands, and stops nothing else
  try { return f() } catch (e) { wrong.push(`${where}: ${e.message}`) }
}

// Bytes, and JSON in its one form
const digest = (...parts) => parts.reduce((h, p) => h.update(p), createHash('sha256')).digest()
const sha = (...parts) => digest(...parts).toString('hex')
const unhex = s => (need(/^([0-9a-f]{2})+$/.test(s), 'not lower-case hex'), Buffer.from(s, 'hex'))
const text = bytes => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
const escaped = s => s.replace(/[\u2028\u2029]/g, c => '\\u' + c.charCodeAt(0).toString(16))
const compact = v => escaped(JSON.stringify(v)), pretty = v => escaped(JSON.stringify(v, null, 2)) + '\n'
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)
const parse = (s, form) => (need(form(JSON.parse(s)) === s, 'not written in the one way'), JSON.parse(s))
function canonical(v) {
  if (typeof v === 'string') return `"${v.replace(/["\\]/g, '\\$&')}"`
  if (Array.isArray(v)) return `[${v.map(canonical)}]`
  if (v === null || typeof v !== 'object') return String(v)
  const names = Object.keys(v).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  return `{${names.map(name => canonical(name) + ':' + canonical(v[name]))}}`
}

// The events, by the tables of the document: whom they may be about, when they may stand, whether that may be after the
// last checkpoint, the members of data ("?": there only if not empty, 0 or false), and whether there is a private part.
function documented() {
  const document = readFileSync(new URL('../../../docs/formats.md', import.meta.url), 'utf8').split(/\n(?=#+ )/)
  const rows = title => document.find(s => s.startsWith(`### ${title}\n`)).split('\n')
    .filter(row => row.startsWith('| `')).map(row => row.split('|'))
  const named = cell => [...cell.matchAll(/`([\w.-]+)`(\??)/g)].map(m => m[1] + m[2])
  const events = new Map()
  for (const [, types, who, when] of rows('Checking a record')) for (const type of named(types))
    events.set(type, { who: who.trim().split(/[ ,]+/), when: when.trim() || 'plan', late: types.endsWith('+ ') })
  for (const [, type, shown] of rows('Members')) // its second table is of members
    if (type.includes('.')) events.get(named(type)[0]).members = named(shown)
  for (const [, type, shown] of rows('Public and private members'))
    Object.assign(events.get(named(type)[0]), { members: named(shown), hides: true, bare: shown.includes('nothing') })
  return events
}
const EVENTS = documented()
function members(v, spec) {
  const names = Object.keys(v)
  for (const m of spec) {
    const name = m.replace('?', '')
    if (names[0] !== name) { need(m !== name, `"${name}" is missing, or in another place`); continue }
    need(names.shift() === m || v[name] && v[name].length !== 0, `"${name}" is there, and empty`)
  }
  return need(!names.length, `"${names[0]}" is unknown, or in another place`), v
}

// Keys are held as SubjectPublicKeyInfo in DER, which begins with one of these.
const SPKI = { ed25519: '302a300506032b6570032100',
  'ecdsa-p256': '3059301306072a8648ce3d020106082a8648ce3d030107034200',
  'ecdsa-p384': '3076301006072a8648ce3d020106052b81040022036200' }
const spki = k => Buffer.from(SPKI[k.algorithm] + k.hex, 'hex')
function signs(k, message, signature) {
  const algorithm = Object.keys(SPKI).find(a => k.toString('hex').startsWith(SPKI[a]))
  need(algorithm && (algorithm !== 'ed25519' || signature.length === 64), 'a key or signature of an unknown kind')
  const hash = { ed25519: null, 'ecdsa-p256': 'sha256', 'ecdsa-p384': 'sha384' }[algorithm]
  return verify(hash, Buffer.from(message), createPublicKey({ key: k, format: 'der', type: 'spki' }), signature)
}
function recipient(k) { // the age recipient of a key in 82: bech32 of its compressed point
  const point = Buffer.from(k.hex, 'hex'), letters = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
  const n = BigInt(`0x0${2 + point[64] % 2}${k.hex.slice(2, 66)}`) << 1n, prefix = [...Buffer.from('age1tag')]
  const words = Array.from({ length: 53 }, (_, i) => Number(n >> BigInt(5 * (52 - i)) & 31n))
  const taps = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
  const step = (sum, w) => taps.reduce((to, tap, i) => sum >>> 25 + i & 1 ? to ^ tap : to, (sum & 0x1ffffff) << 5 ^ w)
  const sum = [...prefix.map(c => c >> 5), 0, ...prefix.map(c => c & 31), ...words, 0, 0, 0, 0, 0, 0].reduce(step, 1)
  for (let i = 25; i >= 0; i -= 5) words.push((sum ^ 1) >>> i & 31)
  return 'age1tag1' + words.map(w => letters[w]).join('')
}

// Certificates: node:crypto verifies them, but hides names, dates and extensions as they stand.
function der(b) {
  const items = []
  for (let at = 0; at < b.length;) {
    let size = b[at + 1], from = at + 2
    if (size > 0x80) { from += size - 0x80; size = parseInt(b.toString('hex', at + 2, from), 16) }
    need(from + size <= b.length, 'a certificate ends too early')
    items.push({ tag: b[at], whole: b.subarray(at, from + size), body: b.subarray(from, from + size) })
    at = from + size
  }
  return items
}
function certificate(bytes) {
  const x = new X509Certificate(bytes), tbs = der(der(der(x.raw)[0].body)[0].body)
  const [issuer, validity, subject] = tbs.slice(tbs[0].tag === 0xa0 ? 3 : 2).map(t => t.whole)
  const extensions = new Map(der(der(tbs.at(-1).body)[0].body).map(e => der(e.body)).map(([oid, ...rest]) =>
    [oid.body.toString('hex'), { critical: rest.length > 1, body: rest.at(-1).body }]))
  return { x, issuer, validity, subject, extensions, from: Date.parse(x.validFrom), to: Date.parse(x.validTo) }
}
const certificates = bytes => text(bytes).match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g).map(certificate)
function leads(c, trust, from = c.from, to = c.to, below = 1) { // to a root, at one time at which all are valid
  return trust.find(t => {
    const start = Math.max(from, t.from), end = Math.min(to, t.to), self = t.subject.equals(t.issuer)
    if (below > 8 || start > end || !t.x.ca || !t.subject.equals(c.issuer) || !c.x.verify(t.x.publicKey)) return false
    const most = der(der(t.extensions.get('551d13').body)[0].body).find(i => i.tag === 2)
    return !(most?.body[0] < below) && (self || leads(t, trust, start, end, below + 1))
  })
}
const PIV = '2b0601040182c40a030', COMMON_NAME = Buffer.from('550403', 'hex')
const KNOWN = ['551d0e', '551d0f', '551d11', '551d13', '551d23', '551d25']
function attest(r, slot, serial, k, evidence) { // evidence: the files of its two certificates
  const [c, f9] = evidence.map((file, i) => {
    const [found, ...more] = certificates(take(r, file)), name = i ? 'f9' : slot
    need(file.name === `evidence/${serial}/${name}.${sha(found.x.raw).slice(0, 8)}.pem` && !more.length, file.name)
    return found
  })
  const at = n => c.extensions.get(PIV + n)?.body ?? Buffer.alloc(0), up = leads(f9, r.trust)
  const bad = (ok, what) => need(ok, `the attestation of ${slot} ${what}`)
  bad(up && f9.x.ca, 'leads to no root that is trusted')
  const name = up.subject.equals(up.issuer) ? f9.subject : f9.issuer // a root has issued it its own
  const common = der(der(name)[0].body).map(n => der(der(n.body)[0].body)).find(([oid]) => oid.body.equals(COMMON_NAME))
  bad(common?.[1].body.toString().startsWith('Yubico PIV '), 'is not by the PIV applet')
  bad(c.issuer.equals(f9.subject) && c.x.verify(f9.x.publicKey) && c.validity.equals(f9.validity), 'is not by it')
  bad([...c.extensions].every(([oid, e]) => !e.critical || KNOWN.includes(oid)), 'has an unknown critical extension')
  bad(c.x.subject === 'CN=YubiKey PIV Attestation ' + slot, 'is of another slot')
  bad(c.x.publicKey.export({ format: 'der', type: 'spki' }).equals(spki(k)), 'is of another key')
  const [number] = der(at(7)), version = [...at(3)], least = r.plan.token.min_firmware.split('.').map(Number)
  const i = version.findIndex((n, j) => n !== least[j]), touch = { '9a': 1, '82': 2 }[slot]
  bad(version.length === 3 && (i < 0 || version[i] > least[i]), 'shows firmware that is too old')
  bad(number.tag === 2 && parseInt(number.body.toString('hex'), 16) === serial, 'is of another serial number')
  bad(at(8).equals(Buffer.from([3, touch ?? (r.plan.token.touch === 'cached' ? 3 : 2)])), 'shows another policy')
  bad(at(9).length <= 1 && !(at(9)[0] & 0x80), 'shows a form factor that is refused')
}

// Roots. A threshold counts keys by value, not by id.
const readRoot = bytes => JSON.parse(text(bytes))
const value = t => (t.keytype === 'ed25519' ? spki({ algorithm: 'ed25519', hex: t.keyval.public })
  : Buffer.from(t.keyval.public.replace(/-----.*?-----/g, ''), 'base64')).toString('hex')
const verified = (t, signed, sig) => t && signs(unhex(value(t)), canonical(signed), unhex(sig))
const reached = ({ roles: { root }, keys }, ids) => root.threshold > 0 &&
  new Set(ids.filter(i => root.keyids.includes(i)).map(i => value(keys[i]))).size >= root.threshold
const signedBy = ({ signed, signatures }, by) => reached(by, signatures.filter(s =>
  by.roles.root.keyids.includes(s.keyid) && verified(by.keys[s.keyid], signed, s.sig)).map(s => s.keyid))

// The log. A last line that doesn't fit its sum is what a death has left, unless it begins with a whole one.
function readLog(prefix, name, files, spec) {
  const lines = [], bytes = files.get(name) ?? Buffer.alloc(0)
  for (let at = 0, end; at < bytes.length; at = end + 1) {
    end = bytes.indexOf(10, at) < 0 ? bytes.length : bytes.indexOf(10, at)
    const b = bytes.subarray(at, end), where = `${prefix}${name} line ${lines.length + 1}`
    const whole = [...b.toString('latin1').matchAll(/,"sum":"([0-9a-f]{64})"\}/g)].filter(m =>
      sha(b.subarray(0, m.index)) === m[1])
    if (end + 1 >= bytes.length && !whole.length) { open.push(`${where}: cut short`); break }
    lines.push({ where, bytes: b, ...judge(where, () => {
      need(whole.some(m => m.index + m[0].length === b.length), 'does not fit its sum')
      return members(parse(text(b), compact), spec.split(' '))
    }) })
  }
  return lines
}
function treeRoot(leaves) { // RFC 6962
  if (leaves.length < 2) return leaves[0] ?? digest('')
  const k = 2 ** Math.floor(Math.log2(leaves.length - 1))
  return digest('\x01', treeRoot(leaves.slice(0, k)), treeRoot(leaves.slice(k)))
}

// The bytes of a file that the log names, and whether it may come later
function take(r, { name, sha256 }, follows) {
  const found = r.files.get(name)
  need((r.named.get(name) ?? sha256) === sha256, `${name}: named with two SHA-256`)
  r.named.set(name, sha256)
  if (!found && follows) return void r.later.push(name)
  need(found && sha(found) === sha256, `${name}: ${found ? 'not the SHA-256 in the log' : 'not there'}`)
  return found
}
const covers = (r, id, seq) => r.checkpoints.some(c => c.holder === id && c.size >= seq)
const checkpoint = (r, size) => `${r.origin}\n${size}\n${Buffer.from(r.roots[size], 'hex').toString('base64')}\n`
const complete = (r, signed, ids) => reached(signed, ids) && (!r.old || reached(r.old, ids))
function token(r, l, d, p, h) { // what a token attests
  const slots = [['9a', d.authentication], ['82', d.age]].filter(([, k]) => k)
  r.tokens.set(d.serial, { auth: d.authentication, age: d.age, stored: [] })
  if (!d.replacement) h.own = d.serial
  need((d.evidence ?? []).length === 2 * slots.length, 'not two certificates for each key')
  slots.forEach(([slot, k], i) => attest(r, slot, d.serial, k, d.evidence.slice(2 * i, 2 * i + 2)))
  r.tokens.get(d.serial).good = true
}
function closing(r) { // publish/checkpoint and publish/SHA256SUMS follow from the lines up to here
  const size = r.sealed.seq, ends = r.checkpoints.filter(c => c.size === size)
  const by = [...r.holders.keys()].map(id => ends.find(c => c.holder === id)).filter(Boolean)
  const note = [checkpoint(r, size) + '\n', ...by.map(c => `\u2014 ${r.origin} ${c.signature}\n`)].join('')
  const files = [...r.publish, ...by.length ? [{ name: 'publish/checkpoint', sha256: sha(note) }] : []]
  const sums = files.map(f => `${f.sha256}  ${f.name.slice(8)}\n`).join('')
  return { 'publish/checkpoint': by.length ? note : '', 'publish/SHA256SUMS': sums }
}

// What events are held to: r is the record so far, l the line, d its data, p its private part where that is here, h the
// holder that it names, t the token.
const rules = {
  'ceremony.begun': (r, l, d) => need((r.begun = d).format === 2 && d.random && (!d.rehearsal || r.rehearsal),
    'another format, or a rehearsal'),
  'ceremony.continued': (r, l, d) => need(!d.random, 'random bytes, as line 1 alone has'),
  'log.set-aside': (r, l, d) => d.file && take(r, { name: d.file, sha256: d.sha256 }),
  'plan.agreed'(r, l, d, p) {
    const plan = d.plan, { salt, ...rest } = p ?? {}, people = [...plan.holders, ...plan.drops ?? []]
    Object.assign(r, { plan, digest: d.digest, hidden: p })
    people.forEach(h => r.holders.set(h.id, { ...h, role: h.keyid ? h.custody ? 'K' : 'D' : 'N' }))
    take(r, { name: 'plan.resolved.json', sha256: d.digest }, true)
    need(sha(pretty(plan)) === d.digest && plan.format === 2, 'another digest or format')
    if (p) take(r, { name: 'private/plan.json', sha256: sha(pretty(p)) }, true)
    need(p ? sha(unhex(salt), compact(rest)) === plan.private : d.private || r.begun.enrols, 'the private plan')
    if (!plan.trusted) return
    r.old = readRoot(Buffer.from(plan.trusted.root)).signed
    need(sha(plan.trusted.root) === plan.trusted.versions.at(-1).sha256, 'not the newest root')
    plan.trusted.versions.slice(r.begun.enrols ? -1 : 0).reduce((before, v) => {
      const name = `trusted/${v.version}.root.json`, root = readRoot(take(r, { name, sha256: v.sha256 }))
      const it = root.signed, next = before ? before.version + 1 : it.version
      need(it.version === v.version && it.version === next && signedBy(root, it) && signedBy(root, before ?? it), name)
      return it
    }, undefined)
  },
  'prepare.done': token, 'token.shown': token,
  'recipient.proved': (r, l, d, p) => p?.test && take(r, p.test),
  'key.intended': (r, l, d, p, h, t) => { t.stored = [] },
  'backup.stored': (r, l, d, p, h, t) => { t.stored.push(l.seq), p?.files.forEach(f => take(r, f)) },
  'key.made': (r, l, d, p, h, t) => (t.root = d.public, d.imported || attest(r, '9c', d.serial, t.root, d.evidence)),
  'key.proved'(r, l, d, p, h, t) {
    const { holder, serial, nonce, signature } = d, { root, auth: authentication } = t
    const said = { plan: r.digest, nonce, holder, serial, root, authentication, age: recipient(t.age) }
    const [file, ...more] = d.evidence, { message } = JSON.parse(text(take(r, file)))
    const draft = r.lines.find(x => x.type === 'draft.made')?.data.bytes // before there is one, any size goes
    const must = `rootceremony proof of possession 1\n${compact(said)}`.padEnd(draft ?? message.length)
    need(message === must && signs(spki(root), message, unhex(signature)), 'the proof of possession is not good')
    need(file.sha256 === sha(pretty({ message, signature })) && !more.length, 'other evidence')
    if (d.replacement && r.next.spare) h.spare = serial
    else Object.assign(h, { root, proved: l.seq, stored: t.stored, own: serial })
  },
  'wipe.done': (r, l, d) => r.tokens.delete(d.serial),
  'holder.started-over': (r, l, d, p, h) => r.tokens.delete(d.serial) && !d.replacement && delete h.proved,
  'replacement.begun': (r, l, d) => { r.next = d },
  'spare.used': (r, l, d, p, h) => { h.own = h.spare },
  'holder.collected'(r, l, d, p, h) { // its own log, with its evidence
    const f = parse(text(take(r, d.file)), pretty), texts = { ...f.evidence, 'transcript.jsonl': f.log }
    const files = new Map(Object.entries(texts).map(([name, s]) => [name, Buffer.from(s)]))
    const sub = audit(files, r, d.file.name + ': '), its = sub.holders.get(h.id), last = sub.lines.at(-1).data
    need(same([f.holder, sub.begun.enrols, sub.digest, its.own], [h.id, h.id, r.digest, d.serial]), "another's")
    need(covers(sub, h.id, its.proved) && last.checkpoint.size === sub.lines.length - 1 &&
      d.checkpoint.root === sub.roots.at(-1), 'another log, or not its end')
    for (const [name, sha256] of sub.named) if (name.startsWith('evidence/')) take(r, { name, sha256 })
    r.tokens.set(d.serial, sub.tokens.get(d.serial))
    Object.assign(h, its, { file: d.file.sha256 })
  },
  'holder.confirmed': (r, l, d, p, h) => { h.confirmed = d.sha256 === h.file },
  'enrolment.handed-over': (r, l, d) => { r.closed = l, take(r, d.file) },
  'draft.made'(r, l, d) {
    const { signed } = readRoot(take(r, d.file)), { threshold, keyids } = signed.roles.root
    const theirs = [...r.holders.values()].filter(h => h.role !== 'D').map(h =>
      h.keyid ? value(r.old.keys[h.keyid]) : spki(h.root).toString('hex'))
    need(sha(canonical(signed)) === d.digest && signed.version === r.plan.version && threshold === r.plan.threshold &&
      same(keyids.map(i => value(signed.keys[i])).sort(), theirs.sort()), 'another digest, version, threshold or keys')
    r.drafts.set(r.live = d.digest, { signed, sigs: new Map() })
  },
  'draft.abandoned': r => { r.live = undefined }, 'draft.resumed': (r, l, d) => { r.live = d.digest },
  'signature.made'(r, l, d, p, h) {
    const { signed, sigs } = r.drafts.get(d.digest), key = signed.keys[d.key_id] ?? r.old.keys[d.key_id]
    need(h.keyid ? h.keyid === d.key_id : unhex(value(key)).equals(spki(h.root)), "not the holder's key")
    need(verified(key, signed, d.signature) && !sigs.has(d.key_id), 'the signature is not good, or a second one')
    sigs.set(d.key_id, { id: d.key_id, seq: l.seq, holder: h.id, made: r.tokens.get(d.serial)?.auth })
    take(r, d.file, true)
  },
  'checkpoint.signed'(r, l, d, p, h, t) {
    const { size, root } = d.checkpoint, k = t.auth, b = Buffer.from(d.signature, 'base64')
    const id = k.algorithm === 'ed25519' ? sha(r.origin, '\n\x01', unhex(k.hex)) : sha(spki(k))
    need(size > 0 && size < l.seq && root === r.roots[size], 'not a checkpoint of this log')
    need(t.good && h.own === d.serial && b.toString('base64') === d.signature && b.toString('hex', 0, 4) ===
      id.slice(0, 8) && signs(spki(k), checkpoint(r, size), b.subarray(4)), 'not signed by an attested key in 9a')
    r.checkpoints.push({ size, holder: h.id, signature: d.signature })
  },
  'root.published'(r, l, d) {
    need(d.digest === r.live && !r.published, 'not the live draft, or a second time')
    const { signed, sigs } = r.drafts.get(r.live), { versions = [] } = r.plan.trusted ?? {}
    need(complete(r, signed, d.key_ids.filter(i => sigs.has(i))), 'too few signatures')
    const chain = versions.map(({ version, sha256 }) => ({ name: `publish/${version}.root.json`, sha256 }))
    Object.assign(r, { published: d, publish: [...chain, d.file, ...d.kit] })
    r.publish.forEach(f => take(r, f, true))
    const file = r.files.get(d.file.name), root = file && readRoot(file)
    need(!root || sha(canonical(root.signed)) === d.digest && signedBy(root, signed) && signedBy(root, r.old ?? signed),
      'the root is not the draft, or not signed')
    need(d.kit.some(f => f.name === 'publish/trust/root.json' && f.sha256 === d.file.sha256), 'another root in the kit')
  },
  'ceremony.sealed'(r, l, d) {
    need(r.published && !r.sealed, 'nothing is published, or a second time')
    r.sealed = l
    if (d.fuller) r.publish.push(d.fuller), take(r, d.fuller, true)
  },
  'ceremony.closed'(r, l, d) {
    const files = [d.sums, d.checkpoint].filter(Boolean), must = closing(r)
    need(files.every(f => f.sha256 === sha(must[f.name])) && !d.checkpoint === !must['publish/checkpoint'], 'others')
    files.forEach(f => take(r, f, true))
    r.closed = l
  },
}
rules['signature.collected'] = rules['signature.made']

function event(r, l) {
  const { type, by, data: d, part: p } = l, e = EVENTS.get(type), h = r.holders.get(d.holder)
  need(e && (l.seq === 1) === (type === 'ceremony.begun'), 'an unknown type, or not in its place')
  const bare = e.bare && same(Object.keys(d), ['private']), may = /^(note|exception|plan.agreed|ceremony.begun)$/
  members(d, [...bare ? [] : e.members, ...!e.hides ? [] : may.test(type) && !bare ? ['private?'] : ['private']])
  need(by === 'room' || !bare && r.holders.has(by), 'by nobody whom the plan knows, or nothing of it is public')
  need((e.when === 'any' || r.plan) && !(e.when === 'plan' && r.closed || type === 'plan.agreed' && r.plan), 'not now')
  need(d.holder === undefined || e.who.includes(h ? h.role : d.holder === '' ? 'none' : '?'), 'of no such holder')
  need(!('intention' in d) || /intended$/.test(r.lines[d.intention - 1]?.type) && d.intention < l.seq, 'no intention')
  rules[type]?.(r, l, d, p, h, r.tokens.get(d.serial))
}
function audit(files, { trust, rehearsal }, prefix = '') {
  const r = { files, trust, rehearsal, checkpoints: [], later: [] }
  for (const m of ['holders', 'tokens', 'drafts', 'named']) r[m] = new Map()
  const lines = r.lines = readLog(prefix, 'transcript.jsonl', files, 'seq time type by data tree sum')
  const leaves = lines.map(l => digest('\0', l.bytes))
  r.roots = [...leaves, ''].map((_, n) => treeRoot(leaves.slice(0, n)).toString('hex'))
  r.origin = 'rootceremony.invalid/' + sha(lines[0].bytes).slice(0, 32)
  if (!prefix && [...files.keys()].some(f => f.startsWith('private/'))) {
    const hidden = readLog('', 'private/transcript.jsonl', files, 'seq salt data sum')
    for (const [i, x] of hidden.entries()) judge(x.where, () => {
      const l = lines[x.seq - 1], fits = l?.data?.private === sha(unhex(x.salt), compact(x.data))
      if (x.seq === lines.length + 1 && i === hidden.length - 1) return open.push(`${x.where}: no public line names it`)
      need(fits && !(hidden[i - 1]?.seq >= x.seq), 'no public line commits to it here')
      l.part = x.data
    })
    for (const l of lines) judge(l.where, () => need(l.part || !l.data?.private, 'its private part is missing'))
  }
  for (const [i, l] of lines.entries()) if (l.type !== undefined) judge(l.where, () => {
    need(l.seq === i + 1 && l.tree === r.roots[i], 'has another number, or its tree is not that of the lines before it')
    event(r, l)
  })
  return r
}
function finish(r) { // what the lines come to
  const lacking = (settled, what) => (settled ? wrong : open).push('transcript.jsonl: ' + what)
  for (const h of r.holders.values()) if (h.role === 'N' && [undefined, h.id].includes(r.begun.enrols)) {
    const vouched = () => h.proved && [h.proved, ...h.stored].every(seq => covers(r, h.id, seq))
    if (!(h.file ? h.confirmed : vouched())) lacking(r.live, `${h.id} has no root key proved and vouched for`)
  }
  const it = r.drafts.get(r.live), end = Math.max(0, ...r.checkpoints.map(c => c.size)) // of what is vouched for
  const sigs = [...it?.sigs.values() ?? []].filter(s => !s.made || covers(r, s.holder, s.seq))
  if (!it || !complete(r, it.signed, sigs.map(s => s.id))) lacking(false, 'too few signatures, vouched for')
  if (!r.sealed || !r.closed || end < r.sealed.seq) lacking(false, 'not sealed and closed, or nobody vouches for it')
  const late = l => EVENTS.get(l.type)?.late || l.type === 'exception' && r.lines[l.seq]?.type === 'carry.without'
  const bare = r.lines.slice(end).find(l => !late(l))
  if (bare) lacking(false, `nobody vouches for line ${bare.seq} and what follows`)
  for (const f of r.later) lacking(r.closed, `${f} is not there`)
}

// Files that nothing names, and that may be there
const LEFT = new RegExp(['(private/)?transcript\\.jsonl', '(metadata/[0-9a-f]{8}/)?notice[^/]*\\.md', 'SHA256SUMS',
  'plan\\.toml', 'keys/[^/]+', 'rehearsal/.*', '(.*/)?\\.unfinished-[^/]*', '(private/)?transcript\\.set-aside\\.\\w+',
  'evidence/\\d+/((9a|9c|82|f9)\\.[0-9a-f]{8}\\.pem|(possession|enrolment)\\.[0-9a-f]{8}\\.json)',
  'private/backups/(tests|[a-z0-9-]+/[0-9a-f]{8})/[^/]+\\.age'].map(f => `^${f}$`).join('|'))
function judgeFiles(r) {
  const plan = r.files.get('plan.toml'), keys = new Set(), ahead = r.sealed && !r.closed ? closing(r) : {}
  if (plan) judge('plan.toml', () => {
    for (const m of text(plan).matchAll(/"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'/g)) keys.add(normalize(m[1] ?? m[2]))
    need(!r.hidden || sha(plan) === r.hidden.plan_sha256, 'not the plan that was agreed')
  })
  for (const [f, bytes] of r.files) if ((r.plan || !plan) && !r.named.has(f) && !keys.has(f) && !LEFT.test(f) &&
    !(ahead[f] && sha(ahead[f]) === sha(bytes))) wrong.push(`${f}: nothing names it`)
}
function read(at, files) {
  for (const e of readdirSync(join(dir, at), { withFileTypes: true })) judge(at + e.name, () => {
    const name = at + e.name
    if (e.isDirectory()) return read(name + '/', files)
    if (at.startsWith('rehearsal/') && (at !== 'rehearsal/' || !name.endsWith('.pem'))) return
    need(e.isFile() && lstatSync(join(dir, name)).size <= 64 << 20, 'not a plain file, or too large')
    files.set(name, readFileSync(join(dir, name)))
  })
  return files
}

const trust = [], args = process.argv.slice(2), rehearsal = args[0] === '--rehearsal'
if (rehearsal) args.shift()
while (args[0] === '--root') // those that are their own issuers are trusted; others may lead to them
  trust.push(...certificates(readFileSync(args.splice(0, 2)[1])))
const [dir] = args
if (args.length !== 1 || dir.startsWith('-') || !lstatSync(dir, { throwIfNoEntry: false })?.isDirectory()) {
  console.error('usage: node checker.mjs [--rehearsal] [--root FILE.pem]... DIR')
  process.exit(2)
}
judge(dir, () => {
  const files = read('', new Map())
  for (const [f, bytes] of files) if (rehearsal && f.startsWith('rehearsal/')) trust.push(...certificates(bytes))
  const r = audit(files, { trust, rehearsal })
  judge(dir, () => finish(r))
  judgeFiles(r)
})
console.log((wrong.length ? wrong : open.length ? open : ['good']).join('\n'))
process.exit(wrong.length ? 1 : open.length ? 3 : 0)
