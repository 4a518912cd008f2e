// A second checker of ceremony records, for Node with its own modules alone:
//
//	node checker.mjs [--rehearsal] [--root FILE.pem]... DIR
//
// Written from docs/formats.md alone: where it and the program differ, one of them is wrong, or the document. It leaves
// out the order of events that no proof depends on, rival roots, texts for people, and anchors. Certificates of --root
// that are their own issuers are trusted; others may lead to them. It prints what is wrong, a line each, or "good".
// Exit status: 0 good, 1 something is wrong, 2 usage, 3 verified so far, but not finished. How things are written, and
// what certificates and roots are held to, is in formats.mjs.
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { open, wrong, need, judge, sha, unhex, text, compact, pretty, same, parse, canonical, members, PLAN, EVENTS,
  spki, signs, tufKey, value, recipient, certificates, attest, readRoot, rootFile, verified, signedBy, complete,
  isNew, draft, readLog, treeRoots } from './formats.mjs'

const excused = (r, l) => r.lines[l.seq - 2]?.type === 'exception'
const covers = (r, serial, seq) => r.checkpoints.some(c => c.serial === serial && c.size >= seq)
const checkpoint = (r, size) => `${r.origin}\n${size}\n${Buffer.from(r.roots[size], 'hex').toString('base64')}\n`
const counts = (r, it, s) => !r.rivals.has(s.keyid) && !r.plan.earlier?.some(e => e.signed?.includes(s.keyid)) &&
  [...r.drafts.values()].every(o => o === it || !o.sigs.has(s.keyid) && !o.maybe?.includes(s.holder))
const live = (r, d) => (need(d.digest === r.live, 'not the live draft'), r.drafts.get(r.live))
const quiet = r => (need(!r.alarms.size, 'there is an alarm'), true)
// The bytes of a file that the log names; with bytes that they must be (null: any) it may come later.
function take(r, f, bytes) {
  const found = r.files.get(f.name)
  need((r.named.get(f.name) ?? f.sha256) === f.sha256, `${f.name}: named with two SHA-256`)
  r.named.set(f.name, f.sha256)
  need(!(bytes?.length >= 0) || sha(bytes) === f.sha256, `${f.name}: not the SHA-256 that follows`)
  if (!found && bytes !== undefined) return r.later.push(f.name)
  need(found && sha(found) === f.sha256, `${f.name}: ${found ? 'not the SHA-256 in the log' : 'not there'}`)
  return found
}
const certified = (r, slot, serial, k, evidence) => attest(r, slot, serial, k, evidence.map(e => [e.name, take(r, e)]))
const keysOf = t => [[154, t.auth], [130, t.age], [156, t.root]]
function token(r, l, d, h, firmware) { // what a token attests
  const t = { at: l.seq, auth: d.authentication, age: d.age }
  const slots = [['9a', t.auth], ['82', t.age]].filter(([, k]) => k)
  const others = [...r.tokens].filter(([s]) => s !== d.serial).flatMap(([, o]) => [o.auth, o.age])
  if (!d.replacement) h.own = d.serial
  r.tokens.set(d.serial, t)
  need((d.evidence ?? []).length === 2 * slots.length, 'not two certificates for each key')
  for (const [i, [slot, k]] of slots.entries()) {
    const attested = certified(r, slot, d.serial, k, d.evidence.slice(2 * i, 2 * i + 2))
    need(same(attested, firmware) && !others.some(o => same(o, k)), `${slot}: other firmware, or another token's key`)
  }
  t.good = true
}
// Whom a roll call is about, with the keys that it is for; and whom nobody has confirmed, if it was held
const about = (r, what) => [...r.holders.values()].map(h => ({ id: h.id, role: h.role, t: r.tokens.get(h.own) }))
  .filter(({ role, t }) => t && (role === 'N' || what === 'backups' && role === 'K'))
  .map(a => ({ ...a, keys: [a.t.auth, a.t.age, what === 'review' && a.t.root] }))
function called(r, what) {
  const now = about(r, what), call = r.calls.get(what) ?? []
  const nobody = call.filter(c => c.how === 'nobody').map(c => c.holder)
  const most = Math.min(r.plan.threshold, what === 'backups' ? r.plan.backup.quorum : Infinity)
  return same(call.map(c => [c.holder, c.keys]), now.map(a => [a.id, a.keys])) &&
    call.every(c => c.how !== 'differs') && (!nobody.length || nobody.length < most) && nobody
}

// What events are held to: r is the record so far, l the line, d its data, p its private part where that is here, h the
// holder that it names, t the token, act the line that announced it.
const rules = {
  'ceremony.begun'(r, l, d) {
    Object.assign(r, { begun: d, start: l.seq })
    need(d.format === 2 && d.random && (!d.rehearsal || r.rehearsal), 'another format, or a rehearsal')
  },
  'ceremony.continued'(r, l, d) {
    r.start = l.seq
    need(['format', 'rehearsal', 'tokens', 'enrols'].every(m => d[m] === r.begun[m]), 'not as line 1')
  },
  'start.compared': (r, l, d) => need(d.paper < l.seq, 'more lines on paper than in the log'),
  'log.set-aside': (r, l, d) => d.file && take(r, { name: d.file, sha256: d.sha256 }),
  'plan.agreed'(r, l, d, p) {
    const plan = d.plan, { salt, ...rest } = p ?? {}, people = [...plan.holders, ...plan.drops ?? []]
    members(plan, PLAN)
    Object.assign(r, { plan, digest: d.digest, hidden: p })
    people.forEach(h => r.holders.set(h.id, { ...h, role: isNew(h) ? 'N' : h.custody ? 'K' : 'D' }))
    take(r, { name: 'plan.resolved.json', sha256: d.digest }, pretty(plan))
    if (p) take(r, { name: 'private/plan.json', sha256: sha(pretty(p)) }, pretty(p))
    need(!p || sha(unhex(salt), compact(rest)) === plan.private, 'the plan does not commit to the private one')
    need(plan.format === 2 && plan.rehearsal === r.begun.rehearsal && r.holders.size === people.length, 'its form')
    need((d.private || r.begun.enrols) && same([!d.anchor, plan.kind === 'create'], [!plan.trusted, !plan.trusted]),
      'something is missing')
    const chain = plan.trusted?.versions ?? [], now = plan.trusted && readRoot(plan.trusted.root)
    need(plan.version === (chain.at(-1)?.version ?? 0) + 1, 'another version')
    if (!now) return
    r.old = now.signed
    need(sha(plan.trusted.root) === chain.at(-1).sha256 && same(people.filter(h => h.keyid).map(h => h.keyid).sort(),
      [...r.old.roles.root.keyids].sort()), 'not the newest root, or other keys than holders and drops have')
    chain.slice(r.begun.enrols ? -1 : 0).reduce((before, v) => {
      const name = `trusted/${v.version}.root.json`, root = readRoot(text(take(r, { name, sha256: v.sha256 })))
      const it = root.signed, next = before ? before.version + 1 : it.version
      need(it.version === v.version && it.version === next && signedBy(root, it) && signedBy(root, before ?? it), name)
      return it
    }, undefined)
  },
  'prepare.intended': (r, l, d, p, h) => need(d.sticker === (d.replacement ? r.next.sticker : h.token), 'the sticker'),
  'prepare.done': (r, l, d, p, h, t, act) => token(r, l, d, h, act.data.firmware),
  'token.shown': (r, l, d, p, h) => token(r, l, d, h, d.firmware),
  'recipient.proved'(r, l, d, p) {
    if (!p) return
    const h = r.holders.get(p.recipient), planned = r.hidden.backup.recipients.find(x => x.id === p.recipient)
    need(p.age === (h ? recipient(r.tokens.get(h.own).age) : planned.age ?? 'passphrase'), 'another age recipient')
    need(r.shown.get(p.recipient) !== p.age && (!p.absent || excused(r, l)), 'twice, or absent without an exception')
    r.shown.set(p.recipient, p.age)
  },
  'key.intended'(r, l, d, p, h, t) {
    const origin = d.replacement ? 'held' : h.custody === 'on-token' ? 'token' : 'session'
    need(t && !t.root && same([d.slot, d.algorithm, d.touch, d.origin, !!d.attempt], [156, r.plan.token.algorithm,
      r.plan.token.touch, origin, !!r.plan.backup]), 'not prepared, or not as planned')
    need(d.replacement || !r.plan.backup || called(r, 'backups'), 'no roll call was held')
    t.stored = []
  },
  'backup.stored'(r, l, d, p, h, t, act) {
    need(act.type === 'key.intended' && (d.what === 'key') === !!d.public, 'no root key is being made')
    need([...r.alarms.values()].every(a => a.over), 'there is an alarm')
    t.stored.push({ seq: l.seq, what: d.what, public: d.public, ages: p?.ages })
    if (!p) return
    const { holders, recipients } = r.hidden.backup, start = `private/backups/${h.id}/${act.data.attempt}/`
    const others = holders ? r.plan.holders.map(o => o.id).filter(o => o !== h.id) : [], end = `.${d.what}.age`
    need(same(p.recipients, [...others, ...recipients.map(o => o.id)]), 'other recipients than planned')
    need(p.recipients.every((o, i) => r.shown.get(o) === p.ages[i]), 'a recipient has not shown that they open')
    need(others.map(o => r.holders.get(o).own).every(s => covers(r, s, r.tokens.get(s).at)), 'one has signed nothing')
    const groups = p.recipients.reduce((all, o) => [...all, ...all.map(g => [...g, o])], [[]])
    const forms = groups.filter(g => g.length === p.quorum).map(g => start + g.sort().join('+') + end).sort()
    const found = p.files.map(f => start + f.name.slice(start.length, -end.length).split('+').sort().join('+') + end)
    need(p.quorum === r.plan.backup.quorum && same(found.sort(), forms), 'not a file for every quorum')
    p.files.forEach(f => take(r, f))
  },
  'key.made'(r, l, d, p, h, t, act) {
    const { origin } = act.data, sealed = what => t.stored.find(s => s.what === what), backups = !!r.plan.backup
    Object.assign(t, { root: d.public, made: l.seq })
    need(same([d.public.algorithm, d.imported, d.puk_kept], [r.plan.token.algorithm, origin !== 'token', backups]) &&
      [...r.holders.values()].every(o => o === h || !same(o.root, d.public)), "not as planned, or another holder's key")
    need(!backups || sealed('token'), 'no backup of PUK and management key')
    if (origin === 'token') certified(r, '9c', d.serial, d.public, d.evidence)
    else need(same(origin === 'held' ? h.root : sealed('key')?.public, d.public), 'no backup of this key')
  },
  'key.proved'(r, l, d, p, h, t) {
    const { holder, serial, nonce, signature } = d, { root, auth: authentication } = t
    const said = { plan: r.digest, nonce, holder, serial, root, authentication, age: recipient(t.age) }
    let n = 0 // the size is that of the planned root with any other keys
    const any = () => ({ algorithm: root.algorithm, hex: String(++n).padStart(root.hex.length, '0') })
    const size = canonical(draft(r, r.plan.expires, any)).length
    const message = `rootceremony proof of possession 1\n${compact(said)}`.padEnd(size), [file, ...more] = d.evidence
    need(signs(spki(root), message, unhex(signature)), 'the proof of possession is not good')
    need(file.name === `evidence/${serial}/possession.${nonce.slice(0, 8)}.json` && !more.length, 'other evidence')
    take(r, file, pretty({ message, signature }))
    const kind = d.replacement && r.next.spare ? 'spare' : 'own'
    Object.assign(h, { root, proved: l.seq, stored: t.stored, [kind]: serial })
    if (d.replacement) r.next = undefined
  },
  'wipe.done': (r, l, d, p, h, t) => { need(!t?.root, 'a token with a root key'), r.tokens.delete(d.serial) },
  'holder.started-over'(r, l, d, p, h) {
    r.tokens.delete(d.serial)
    for (const a of r.alarms.values()) a.over ||= a.holder === h.id
    if (!d.replacement) Object.assign(h, { root: undefined, proved: undefined })
  },
  'replacement.begun': (r, l, d) => { r.next = d }, 'replacement.given-up': r => { r.next = undefined },
  'spare.used': (r, l, d, p, h) => { h.own = h.spare },
  'holder.collected'(r, l, d, p, h) {
    const f = parse(text(take(r, d.file)), pretty), name = `enrolment.${d.file.sha256.slice(0, 8)}.json`
    need(same(Object.keys(f), ['format', 'holder', 'log', 'evidence']) && f.format === 'rootceremony enrolment 1' &&
      f.holder === h.id && d.file.name === `evidence/${d.serial}/${name}`, 'not its form')
    const texts = Object.entries({ ...f.evidence, 'transcript.jsonl': f.log })
    const files = texts.map(([n, s]) => [n, Buffer.from(s)])
    const sub = audit(new Map(files), r, d.file.name + ': '), its = sub.holders.get(h.id), last = sub.lines.at(-1)
    const newest = ['prepare.done', 'key.made', 'key.proved'].map(type => sub.lines.findLast(x => x.type === type).data)
    need(same([sub.begun.enrols, sub.digest, its.own], [h.id, r.digest, d.serial]), 'of another holder, plan or token')
    need(last.type === 'checkpoint.signed' && last.data.checkpoint.size === last.seq - 1 && its.proved, 'its end')
    need(same([d.checkpoint, d.prepared, d.key, d.proved], [{ size: last.seq, root: sub.roots.at(-1) }, ...newest]),
      'its log says otherwise')
    for (const [name, sha256] of sub.named) if (name.startsWith('evidence/')) take(r, { name, sha256 })
    r.tokens.set(d.serial, sub.tokens.get(d.serial))
    Object.assign(h, its, { file: d.file.sha256 })
  },
  'holder.confirmed'(r, l, d, p, h) {
    h.confirmed = true
    need(d.sha256 === h.file && (d.words || excused(r, l)), 'another file, or no words')
  },
  'enrolment.handed-over'(r, l, d) {
    r.closed = l
    need(quiet(r) && r.holders.get(r.begun.enrols).proved && take(r, d.file), 'the key is not proved')
  },
  'rollcall.held'(r, l, d) {
    const all = about(r, d.for), since = t => t.at > r.start && (d.for !== 'review' || t.made > r.start)
    need(same(d.holders.map(c => c.holder), all.map(a => a.id)), 'not everybody whom it is about, in order')
    need(d.holders.every((c, i) => c.how !== 'sitting' || since(all[i].t)), 'a key was made in another sitting')
    r.calls.set(d.for, d.holders.map((c, i) => ({ ...c, keys: all[i].keys })))
  },
  'alarm.raised'(r, l, d, p, h, t) {
    const other = k => keysOf(t).some(([slot, mine]) => k.slot === slot && mine && !same(k.public, mine) &&
      (slot !== 156 || !d.keys.some(o => same(o.public, mine))))
    r.alarms.set(l.seq, { holder: h.id, serial: h.own, age: r.tokens.get(h.own)?.age })
    need(!r.owners.has(d.serial) || t && d.keys.some(other), 'the token has the keys that the log has')
  },
  'alarm.ended'(r, l, d, p, h) {
    const a = r.alarms.get(d.alarm), t = r.tokens.get(h.own), has = ([, k]) => !k || d.keys.some(o => same(o.public, k))
    need(a?.holder === h.id && a.serial === d.serial, 'no such alarm is open')
    const sealed = a.age && [...r.tokens.values()].some(o => o.stored?.some(s => s.ages?.includes(recipient(a.age))))
    need(t && d.keys?.length ? keysOf(t).every(has) : a.over && !r.live && !sealed, 'the token does not agree')
    r.alarms.delete(d.alarm)
  },
  'draft.made'(r, l, d) {
    const last = r.plan.rehearsal ? new Date(Date.parse(l.time) + 864e5).toISOString() : r.plan.expires
    const nobody = quiet(r) && called(r, 'review'), start = r.plan.rehearsal ? 'rehearsal.' : ''
    need(nobody && same(nobody, d.unconfirmed ?? []), 'no roll call was held, or others are unconfirmed')
    need(start ? d.expires.slice(0, 19) <= last.slice(0, 19) : d.expires === last, 'expires at another time')
    const ready = h => h.role !== 'N' || h.root && (!h.file || h.confirmed)
    need([...r.holders.values()].every(ready), 'a key is not proved, or not confirmed')
    const signed = draft(r, d.expires, h => r.holders.get(h.id).root), bytes = canonical(signed), v = r.plan.version
    const name = `metadata/${d.digest.slice(0, 8)}/${start}${v}.root.unsigned.json`
    need(!r.live && !r.drafts.has(d.digest) && same([sha(bytes), Buffer.byteLength(bytes), v, name],
      [d.digest, d.bytes, d.version, d.file.name]), 'not the draft that follows')
    r.drafts.set(r.live = d.digest, { signed, sigs: new Map() })
    take(r, d.file, rootFile(signed, []))
  },
  'draft.reviewed': (r, l, d) => { live(r, d).reviewed = true },
  'draft.abandoned': (r, l, d) => { live(r, d).maybe = d.maybe, r.live = undefined },
  'draft.resumed': (r, l, d) => { need(quiet(r) && !r.live && r.drafts.has(d.digest), 'not now'), r.live = d.digest },
  'signature.made'(r, l, d, p, h) {
    const it = r.drafts.get(d.digest), made = l.type === 'signature.made', roots = [it.signed, r.old].filter(Boolean)
    const mine = h.root && value(tufKey(h.root)), keys = it.signed.keys
    const keyid = h.keyid ?? Object.keys(keys).find(i => value(keys[i]) === mine)
    need(!made || quiet(r) && live(r, d).reviewed && !r.sealed, 'not reviewed, or sealed')
    need(d.version === r.plan.version && d.key_id === keyid && !it.sigs.has(keyid), "not the holder's key, or twice")
    need(roots.some(o => o.roles.root.keyids.includes(keyid) && verified(o.keys[keyid], it.signed, d.signature)),
      'the signature is not good')
    need(d.file.name === `metadata/${d.digest.slice(0, 8)}/${h.id}.${keyid.slice(0, 8)}.sig.json`, 'another file name')
    const serial = made && r.tokens.get(d.serial)?.auth && d.serial
    it.sigs.set(keyid, { keyid, sig: d.signature, seq: l.seq, holder: h.id, serial })
    take(r, d.file, pretty({ keyid, sig: d.signature }))
  },
  'signature.rival': (r, l, d) => r.rivals.add(d.key_id),
  'checkpoint.signed'(r, l, d, p, h, t) {
    const { size, root } = d.checkpoint, k = t.auth, b = Buffer.from(d.signature, 'base64')
    const keyID = k.algorithm === 'ed25519' ? sha(r.origin, '\n\x01', unhex(k.hex)) : sha(spki(k))
    need(size < l.seq && root === r.roots[size], 'not a checkpoint of this log')
    need(t.good && b.toString('base64') === d.signature && b.toString('hex', 0, 4) === keyID.slice(0, 8) &&
      signs(spki(k), checkpoint(r, size), b.subarray(4)), 'not signed by an attested key in 9a')
    r.checkpoints.push({ serial: d.serial, size, holder: h.id, signature: d.signature })
  },
  'root.published'(r, l, d) {
    const it = live(r, d), sigs = d.key_ids.map(i => it.sigs.get(i)), n = r.plan.version
    need(quiet(r) && !r.published && same([d.version, d.file.name], [n, `publish/${n}.root.json`]), 'twice, or another')
    need(sigs.every(s => counts(r, it, s)) && complete(r, it.signed, d.key_ids), 'too few signatures')
    const { versions = [] } = r.plan.trusted ?? {}, bytes = rootFile(it.signed, sigs)
    const chain = versions.map(({ version, sha256 }) => ({ name: `publish/${version}.root.json`, sha256 }))
    Object.assign(r, { published: d, publish: [...chain, d.file, ...d.kit] })
    const first = r.plan.rehearsal ? '# REHEARSAL: this root is not to be trusted by anybody.\n' : ''
    const kit = ['root.json', 'root.json.sha256', 'WORDS.txt', 'EMBED.md'].map(f => 'publish/trust/' + f)
    need(same(d.kit.map(f => f.name), kit), 'another trust kit')
    const must = [bytes, bytes, `${first}${sha(bytes)}  root.json\n`]
    r.publish.forEach((f, i) => take(r, f, must[i - chain.length] ?? null))
  },
  'ceremony.sealed'(r, l, d) {
    const it = live(r, d), sigs = d.key_ids.map(i => it.sigs.get(i)), more = sigs.length > r.published.key_ids.length
    need(!r.sealed && sigs.every(s => counts(r, it, s)) && !d.fuller === !more, 'twice, or with other signatures')
    r.sealed = l
    need(!more || d.fuller.name === `publish/fuller/${r.plan.version}.root.json`, 'another file name')
    if (more) r.publish.push(d.fuller), take(r, d.fuller, rootFile(it.signed, sigs))
  },
  'ceremony.closed'(r, l, d) {
    need(r.sealed && d.sums.name === 'publish/SHA256SUMS', 'not sealed, or another file name')
    r.closed = l
    const size = r.sealed.seq, ends = r.checkpoints.filter(c => c.size === size)
    const by = [...r.holders.keys()].map(i => ends.find(c => c.holder === i)).filter(Boolean)
    const able = [...live(r, r.published).sigs.values()].some(s => r.tokens.get(r.holders.get(s.holder).own)?.auth)
    need(by.length ? d.checkpoint?.name === 'publish/checkpoint' : !able && !d.checkpoint, 'nobody has signed the seal')
    const note = [checkpoint(r, size) + '\n', ...by.map(c => `\u2014 ${r.origin} ${c.signature}\n`)].join('')
    if (by.length) r.publish.push(d.checkpoint), take(r, d.checkpoint, note)
    take(r, d.sums, r.publish.map(f => `${f.sha256}  ${f.name.slice(8)}\n`).join(''))
  },
  'drill.done': (r, l, d, p) => need(!p || r.named.get(p.file.name) === p.file.sha256 &&
    p.file.name.startsWith(`private/backups/${d.holder}/`), 'no backup'),
}
rules['signature.collected'] = rules['signature.made']
rules['checkpoints.waived'] = rules['carry.without'] = (r, l) => need(excused(r, l), 'without an exception')

const OWN = /^(key|backup|checkpoint|signature|holder\.confirmed)/
function event(r, l) {
  const { type, by, data: d, part: p } = l, e = EVENTS.get(type), bare = same(Object.keys(d), ['private'])
  need(e && (l.seq === 1) === (type === 'ceremony.begun'), 'an unknown type, or not in its place')
  const commits = !e.hidden ? '' : /note|exception|plan|begun/.test(type) ? ' private?' : ' private'
  members(d, bare ? 'private' : e.shown + commits)
  if (p) members(p, e.hidden)
  need(!bare || e.hidden && by === 'room', 'nothing of it is public, and it is not by the room')
  need(by === 'room' || r.holders.has(by), 'by nobody whom the plan knows')
  need((e.when === 'any' || r.plan) && !(e.when === 'plan' && r.closed || type === 'plan.agreed' && r.plan), 'not now')
  const h = r.holders.get(d.holder), act = r.acts.get(d.serial), start = type.replace(/\.\w+$/, '.intended')
  need(d.holder === undefined || e.who.includes(h ? h.role : d.holder === '' ? 'O' : '?'), 'of no such holder')
  if (d.serial !== undefined) {
    need(d.serial > 0 && (r.owners.get(d.serial) ?? h.id) === h.id, "another holder's token")
    if (type !== 'alarm.raised') r.owners.set(d.serial, h.id)
    need(d.replacement ? r.next?.holder === h.id : h.own === d.serial || !OWN.test(type), "not the holder's own token")
    need(type !== start || !act, 'another act of the token is open')
  }
  const fits = type.startsWith('carry') ? r.lines[d.intention - 1]?.type === start
    : act && act.seq === d.intention && (act.type === start || /settled|stored/.test(type))
  need(!d.intention || fits, 'no such intention is open')
  if (type === start || d.intention && type !== 'backup.stored') r.acts.set(d.serial, type === start ? l : undefined)
  rules[type]?.(r, l, d, p, h, r.tokens.get(d.serial), act)
}
function audit(files, { trust, rehearsal }, prefix = '') {
  const r = { files, trust, rehearsal, rivals: new Set(), checkpoints: [], later: [] }
  for (const m of 'holders tokens owners acts shown drafts alarms calls named'.split(' ')) r[m] = new Map()
  const lines = r.lines = readLog(prefix, 'transcript.jsonl', files, 'seq time type by data tree sum')
  r.roots = treeRoots(lines)
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
  const bent = lines.findIndex((l, i) => l.tree !== r.roots[i])
  if (bent >= 0) wrong.push(`${lines[bent].where}: tree is not the root hash over the lines before it`)
  for (const [i, l] of lines.entries()) if (l.type) judge(l.where, () => {
    need(l.seq === i + 1, 'has the number ' + l.seq)
    event(r, l)
  })
  return r
}
function finish(r) { // what the lines come to
  const lacking = (settled, what) => (settled ? wrong : open).push('transcript.jsonl: ' + what)
  for (const h of r.holders.values()) if (h.role === 'N' && [undefined, h.id].includes(r.begun.enrols)) {
    const vouched = () => h.proved && [h.proved, ...h.stored.map(s => s.seq)].every(s => covers(r, h.own, s))
    if (!(h.file ? h.confirmed : vouched())) lacking(r.drafts.size, `${h.id} has no root key proved and vouched for`)
  }
  const it = r.drafts.get(r.live), end = Math.max(0, ...r.checkpoints.map(c => c.size))
  const sigs = [...it?.sigs.values() ?? []].filter(s => counts(r, it, s) && (!s.serial || covers(r, s.serial, s.seq)))
  if (!it || !complete(r, it.signed, sigs.map(s => s.keyid))) lacking(r.sealed, 'too few signatures, vouched for')
  const rival = o => o !== it && complete(r, o.signed, [...o.sigs.keys()])
  if ([...r.drafts.values()].some(rival)) lacking(true, 'another draft is complete too')
  if (!r.sealed || !r.closed || end < r.sealed.seq) lacking(false, 'not sealed and closed, or nobody vouches for it')
  const late = l => EVENTS.get(l.type)?.late || l.type === 'exception' && r.lines[l.seq]?.type === 'carry.without'
  const bare = r.lines.slice(end).find(l => !late(l))
  if (bare) lacking(false, `nobody vouches for line ${bare.seq} and what follows`)
  for (const f of r.later) (r.closed ? wrong : open).push(`${f}: not there`)
}

// Files that nothing names, and that may be there
const LEFT = new RegExp(['(private/)?transcript\\.jsonl', '(metadata/[0-9a-f]{8}/)?notice[^/]*\\.md', 'SHA256SUMS',
  'plan\\.toml', 'rehearsal/.*', '(.*/)?\\.unfinished-[^/]*', 'evidence/\\d+/(9a|9c|82|f9)\\.[0-9a-f]{8}\\.pem',
  '(private/)?transcript\\.set-aside\\.[0-9a-f]{64}', 'evidence/\\d+/(possession|enrolment)\\.[0-9a-f]{8}\\.json',
  'private/backups/(tests|[a-z0-9-]+/[0-9a-f]{8})/[^/]+\\.age'].map(f => `^${f}$`).join('|'))
function judgeFiles(r, folders) {
  const plan = r.files.get('plan.toml'), keys = new Set()
  if (plan) judge('plan.toml', () => {
    for (const m of text(plan).matchAll(/"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'/g)) keys.add(normalize(m[1] ?? m[2]))
    need(!r.hidden || sha(plan) === r.hidden.plan_sha256, 'not the plan that was agreed')
  })
  const known = f => r.named.has(f) || keys.has(f) || LEFT.test(f)
  for (const f of r.files.keys()) if (!known(f)) wrong.push(`${f}: nothing names it`)
  const own = /^(evidence|private|trusted|metadata|publish|rehearsal)(\/|$)/
  const fine = f => own.test(f) || [...keys].some(k => k.startsWith(f + '/'))
  for (const f of folders) if (!fine(f)) wrong.push(`${f}: a folder that does not belong here`)
}
function readAll(dir) {
  const files = new Map(), folders = []
  let size = 0
  const walk = at => readdirSync(join(dir, at), { withFileTypes: true }).forEach(e => judge(at + e.name, () => {
    const name = at + e.name, bytes = e.isFile() ? lstatSync(join(dir, name)).size : Infinity
    if (at === 'rehearsal/' && !(e.isFile() && e.name.endsWith('.pem'))) return
    if (e.isDirectory()) return folders.push(name), walk(name + '/')
    need(bytes <= 64 << 20 && (size += bytes) <= 512 << 20 && files.size < 50000, 'not a plain file, or too large')
    files.set(name, readFileSync(join(dir, name)))
  }))
  walk('')
  return { files, folders }
}

const trust = []
let dir, rehearsal = false
try {
  for (let i = 2, a; (a = process.argv[i]) !== undefined; i++) {
    if (a === '--rehearsal') rehearsal = true
    else if (a === '--root') trust.push(...certificates(readFileSync(process.argv[++i])))
    else if (a.startsWith('-') || dir !== undefined) throw new Error(`not understood: ${a}`)
    else dir = a
  }
  if (!lstatSync(dir).isDirectory()) throw new Error('not a folder: ' + dir)
} catch (e) {
  console.error(`${e.message}\nusage: node checker.mjs [--rehearsal] [--root FILE.pem]... DIR`)
  process.exit(2)
}
judge(dir, () => {
  const { files, folders } = readAll(dir)
  for (const [f, bytes] of files) if (rehearsal && f.startsWith('rehearsal/')) trust.push(...certificates(bytes))
  const r = audit(files, { trust, rehearsal })
  judge(dir, () => finish(r))
  judgeFiles(r, folders)
})
for (const line of wrong.length ? wrong : open) console.log(line)
if (!wrong.length && !open.length) console.log('good')
process.exit(wrong.length ? 1 : open.length ? 3 : 0)
