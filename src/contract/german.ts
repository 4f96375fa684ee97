// What is said of settings and requests, in German: by the English sentence, in which * stands for anything. Pure.

const SENTENCES: readonly (readonly [english: string, german: string])[] = [
  ['is missing', 'fehlt'],
  ['is empty', 'ist leer'],
  ['is not a text', 'ist kein Text'],
  ['is not an object', 'ist kein Objekt'],
  ['is not a field', 'ist kein bekanntes Feld'],
  ['is not a whole number', 'ist keine ganze Zahl'],
  ['is not a URL', 'ist keine URL'],
  ['is not a host name', 'ist kein Servername'],
  ['is not an e-mail address', 'ist keine E-Mail-Adresse'],
  ['is not an https:// address', 'ist keine Adresse mit https://'],
  ['is not host:port', 'ist nicht von der Form server:port'],
  ['is not a port (1 to 65535)', 'ist kein Port (1 bis 65535)'],
  ['is not a date like 2027-11-30', 'ist kein Datum wie 2027-11-30'],
  ['is not six digits', 'besteht nicht aus sechs Ziffern'],
  ['is not a cursor of an earlier answer', 'ist kein Zeiger aus einer früheren Antwort'],
  ['is not the id of an app registration', 'ist nicht die Nummer einer App-Registrierung'],
  ['is too long', 'ist zu lang'],
  ['is longer than * characters', 'hat mehr als * Zeichen'],
  ['has more than * characters', 'hat mehr als * Zeichen'],
  ['has fewer than * characters', 'hat weniger als * Zeichen'],
  ['is negative', 'ist negativ'],
  ['is less than poll_interval_seconds', 'ist kleiner als poll_interval_seconds'],
  ['is less than *', 'ist kleiner als *'],
  ['is more than a day', 'ist mehr als ein Tag'],
  ['is more than a week', 'ist mehr als eine Woche'],
  ['is more than a year', 'ist mehr als ein Jahr'],
  ['is more than a hundred years', 'ist mehr als hundert Jahre'],
  ['is more than *', 'ist größer als *'],
  ['is taken', 'ist vergeben'],
  ['must be true or false', 'muss true oder false sein'],
  ['must be a whole number from 0 to *, or "unlimited"', 'muss eine ganze Zahl von 0 bis * sein, oder "unlimited"'],
  ['must be one of *', 'muss eines davon sein: *'],
  ['must be *', 'muss eines davon sein: *'],
  ['contains a line break or another control character', 'enthält einen Zeilenumbruch oder ein anderes Steuerzeichen'],
  ['contains a line break', 'enthält einen Zeilenumbruch'],
  ['contains a blank or a control character', 'enthält ein Leerzeichen oder ein Steuerzeichen'],
  ['contains a user name', 'enthält einen Benutzernamen'],
  ['contains no account', 'enthält kein Konto'],
  ['does not begin with https://', 'beginnt nicht mit https://'],
  [
    'still contains a placeholder in braces; put the tenant ID there',
    'enthält noch einen Platzhalter in Klammern; dorthin gehört die Mandanten-ID',
  ],
  [
    'is missing; the flow "client_credentials" needs it, or client_certificate',
    'fehlt; die Anmeldeart „client_credentials“ braucht es, oder client_certificate',
  ],
  ['is missing; the flow "*" needs it', 'fehlt; die Anmeldeart „*“ braucht es'],
  ['is missing; "first_sync": "last_days" needs it', 'fehlt; "first_sync": "last_days" braucht es'],
  ['has a meaning only with "first_sync": "last_days"', 'hat nur mit "first_sync": "last_days" eine Bedeutung'],
  [
    'is needed by the flow "service_account", and by that alone',
    'wird von der Anmeldeart „service_account“ gebraucht, und nur von ihr',
  ],
  [
    'stands beside client_secret; an app registration has one of them',
    'steht neben client_secret; eine App-Registrierung hat eines von beiden',
  ],
  ['private_key cannot be read as a PEM key', 'private_key ist nicht als PEM-Schlüssel lesbar'],
  ['certificate cannot be read as a PEM certificate', 'certificate ist nicht als PEM-Zertifikat lesbar'],
  ['the private key does not belong to the certificate', 'der private Schlüssel gehört nicht zum Zertifikat'],
  [
    '"none" is allowed for this machine only; use "tls" or "starttls"',
    '"none" ist nur für diesen Rechner selbst erlaubt; sonst "tls" oder "starttls"',
  ],
  ['neither pop3 nor smtp is given', 'weder pop3 noch smtp ist angegeben'],
  [
    'needs both pop3 and smtp: mail goes from the account to itself',
    'braucht pop3 und smtp: Post geht vom Konto an sich selbst',
  ],
  ['stands there twice, also as account *', 'steht zweimal da, auch als Konto *'],
  ['more than one account is marked as the default', 'mehr als ein Konto ist als Standard gekennzeichnet'],
  ['is not valid JSON (line *)', 'ist kein gültiges JSON (Zeile *)'],
  [
    '* is in a private network (* address) that POSTSTELLE_EGRESS_ALLOW does not name',
    '* liegt in einem privaten Netz (*), das POSTSTELLE_EGRESS_ALLOW nicht nennt',
  ],
  // what was understood differently from how it was written
  ['a blank inside the URL was removed', 'ein Leerzeichen in der URL wurde entfernt'],
  [
    'port * speaks TLS from the first byte; "starttls" was stored as "tls"',
    'Port * spricht vom ersten Byte an TLS; „STARTTLS“ wurde als „TLS“ gespeichert',
  ],
  [
    'port * begins without TLS; "tls" was stored as "starttls"',
    'Port * beginnt ohne TLS; „TLS“ wurde als „STARTTLS“ gespeichert',
  ],
  [
    'looks like the ID of the secret; needed is the value (in Entra: "Wert", not "Geheime ID")',
    'sieht nach der ID des Geheimnisses aus; gebraucht wird der Wert (in Entra: „Wert“, nicht „Geheime ID“)',
  ],
  ['a Microsoft application ID has the form of a GUID', 'eine Anwendungs-ID von Microsoft hat die Form einer GUID'],
  [
    '* belongs to another cloud than the token endpoint (*)',
    '* gehört zu einer anderen Cloud als der Token-Endpunkt (*)',
  ],
  [
    'an app without a user needs the scope that ends in /.default, as *',
    'eine Anwendung ohne Benutzer braucht den Scope, der auf /.default endet: *',
  ],
  [
    'without offline_access somebody has to sign in again every hour',
    'ohne offline_access muss sich jede Stunde jemand neu anmelden',
  ],
  [
    'when it expires is not known; client_secret_expires_at would have it announced in time',
    'wann es abläuft, ist nicht bekannt; mit „Gültig bis“ würde es rechtzeitig gemeldet',
  ],
  [
    'is shared by * accounts of this app registration; it was changed for all of them',
    'teilen sich * Konten dieser App-Registrierung; es wurde für alle geändert',
  ],
  [
    'are shared by * accounts of this app registration; they were changed for all of them',
    'teilen sich * Konten dieser App-Registrierung; sie wurden für alle geändert',
  ],
  // filters
  ['"*" does not narrow this list; what does: *', '„*“ grenzt diese Liste nicht ein; das tun: *'],
  ['has more than * conditions', 'hat mehr als * Bedingungen'],
  ['"*" has no value behind the colon', 'hinter dem Doppelpunkt von „*“ fehlt der Wert'],
  ['"*" is not a time; write *', '„*“ ist keine Zeit; möglich sind: *'],
  ['"*" is not a state; there are *', '„*“ ist kein Zustand; es gibt: *'],
  ['"*" is not a reason; there are *', '„*“ ist kein Grund; es gibt: *'],
  ['"*" is not a size; write *', '„*“ ist keine Größe; möglich sind: *'],
  ['"id:" takes numbers', 'hinter „id:“ stehen Zahlen'],
  ['there is no account "*"; "poststelle account list" shows them all', 'es gibt kein Konto „*“'],
  ['there is no app registration "*"; "poststelle client list" shows them all', 'es gibt keine App-Registrierung „*“'],
  // why a message could not be read
  ['its parts are nested deeper than * levels', 'die Teile sind mehr als * Ebenen tief verschachtelt'],
  ['it names more than * addresses', 'sie nennt mehr als * Adressen'],
  ['it has more than * parts', 'sie hat mehr als * Teile'],
  ['a header block is larger than * kB', 'ein Kopf ist größer als * kB'],
  ['the parser needed more than * MB of memory for it', 'das Lesen brauchte mehr als * MB Speicher'],
  ['the parser needed more than * s for it', 'das Lesen dauerte länger als * s'],
  [
    'a multipart names no boundary: its parts could not be told apart',
    'ein Multipart nennt keine Grenze: seine Teile waren nicht zu trennen',
  ],
  ['the parser crashed on it', 'das Lesen ist daran abgestürzt'],
  ['the parser failed on it (*)', 'das Lesen ist daran gescheitert (*)'],
  ['is not the name of a command', 'ist nicht der Name eines Programms'],
  ['POSTSTELLE_NOTIFY_COMMANDS does not name "*"', 'POSTSTELLE_NOTIFY_COMMANDS nennt „*“ nicht'],
  // requests
  [
    'the token is not known, was revoked, or has expired',
    'der API-Schlüssel ist unbekannt, widerrufen oder abgelaufen',
  ],
  ['there is an operator "*" already', 'es gibt schon jemanden mit dem Namen „*“'],
  ['nobody would be left who may administer', 'dann wäre niemand mehr da, der verwalten darf'],
  [
    'mail of this account waits to be sent; cancel it, or let it go first',
    'Post dieses Kontos wartet noch auf den Versand; erst stornieren oder hinausgehen lassen',
  ],
  ['this account has no POP3 server', 'dieses Konto hat keinen POP3-Server'],
  ['receiving is switched off for this account', 'der Empfang ist für dieses Konto angehalten'],
  ['nothing has to be decided', 'es ist nichts zu entscheiden'],
  ['confirmed were *, there are * now', 'bestätigt waren *, jetzt sind es *'],
  ['it has ended', 'der Vorgang ist schon zu Ende'],
  ['a token has no operator', 'ein API-Schlüssel gehört zu keiner Person'],
  ['not there: *', 'nicht vorhanden: *'],
  ['only web hooks have one', 'das haben nur Webhooks'],
  ['no secret waits', 'kein Schlüssel wartet'],
  ['no secret waits to be proven', 'kein Schlüssel wartet auf seine Probe'],
  ['app registration *: *', 'App-Registrierung *: *'],
  ['account * was deleted', 'Konto * wurde gelöscht'],
  [
    'the token of account * is being refreshed for too long; try again',
    'das Token von Konto * wird seit langem erneuert; bitte noch einmal versuchen',
  ],
  // the last: it fits much
  ['is not *', 'lautet nicht „*“'],
]

const table = SENTENCES.map(([english, german]) => ({
  pattern: new RegExp(`^${english.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '(.*?)')}$`, 's'),
  german,
}))

/** What is before the first colon may be the name of a field, and stays. A sentence that is not known stays as it is. */
export function inGerman(text: string): string {
  for (const { pattern, german } of table) {
    const found = pattern.exec(text)
    if (!found) continue
    let at = 0
    return german.replaceAll('*', () => found[++at] ?? '')
  }
  const [, field = '', rest = ''] = /^([\w.]+|account \d+(?: \([^)]*\))?|accounts): (.*)$/s.exec(text) ?? []
  return field === '' ? text : `${field.replace(/^account /, 'Konto ')}: ${inGerman(rest)}`
}

export const inLanguage = (text: string, language: 'de' | 'en'): string => (language === 'de' ? inGerman(text) : text)
