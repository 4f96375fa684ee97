import { describe, expect, test } from 'vitest'
import { account, host, oauth, ofFirst, problems, problemsOf } from './account-fields.ts'

describe('a file', () => {
  test('shows all problems of all accounts at once, each with file, account and field', () => {
    const found = problems([
      account({
        pop3: host({ port: 0, security: 'none' }),
        smtp: host({ host: '' }),
        auth: oauth({ token_endpoint: 'http://{x}/', password: undefined }),
        colour: 1,
      }),
      account({ email: 'good@firma.example' }),
      { email: 'bad' },
      'nonsense',
    ])
    expect(found.toSorted()).toEqual(
      [
        ...ofFirst(
          'pop3.port: is not a port (1 to 65535)',
          'pop3.security: "none" is allowed for this machine only; use "tls" or "starttls"',
          'smtp.host: is not a host name',
          'auth.token_endpoint: does not begin with https://',
          'auth.token_endpoint: still contains a placeholder in braces; put the tenant ID there',
          'auth.password: is missing; the flow "password" needs it',
          'colour: is not a field',
        ),
        'accounts.json: account 3 (bad): auth: is missing',
        'accounts.json: account 3 (bad): email: is not an e-mail address',
        'accounts.json: account 3 (bad): pop3: neither pop3 nor smtp is given',
        'accounts.json: account 4: the account: is not an object',
      ].toSorted(),
    )
  })

  test('may name an address only once, however it is written and whatever else is wrong', () => {
    expect(
      problems([
        account(),
        account({ email: 'b@firma.example' }),
        account({ email: ' INFO@firma.example' }),
        account({ pop3: null }),
      ]),
    ).toEqual([
      'accounts.json: account 4 (info@firma.example): pop3: neither pop3 nor smtp is given',
      'accounts.json: account 3 ( INFO@firma.example): email: stands there twice, also as account 1',
      'accounts.json: account 4 (info@firma.example): email: stands there twice, also as account 1',
    ])
  })

  test('may have one default account only', () => {
    expect(problems([account({ default: true }), account({ email: 'b@firma.example', default: true })])).toEqual([
      'accounts.json: default: more than one account is marked as the default',
    ])
  })

  test('without any account is a mistake', () => {
    expect(problems([])).toEqual(['accounts.json: contains no account'])
  })
})

describe('a file that is not JSON', () => {
  test.each([
    ['an unquoted value', '{\n  "email": "a@b.example",\n  "password": canary\n}\n', 3],
    ['a value between others like it', '[\n1,\n2,\ncanary,\n2,\ncanary\n]', 4],
    ['a missing comma', '{\n  "password": "canary"\n  "email": "a"\n}', 3],
    ['a comma too many', '{\n  "password": "canary",\n}', 3],
    ['a text without end', '{\n  "password": "canary\n}', 2],
    ['a wrong escape', '{\n\n  "password": "canary\\x"}', 3],
    ['single quotes', "{\n\n\n'password': 'canary'}", 4],
    ['a comment', '{\n// canary\n"a": 1}', 2],
    ['something behind the end', '{"password": "canary"}\n\n}', 3],
    ['an end too early', '{\n"password": "canary",\n"a":\n', 4],
    ['nothing at all', '', 1],
    ['Windows line ends', '{\r\n"a": 1,\r\n"password": canary\r\n}', 3],
    ['a byte order mark', '\uFEFF{\n"password": canary}', 2],
    ['no text of ours', 'canary', 1],
  ])('is named with the line, and never quoted: %s', (_what, text, line) => {
    expect(problemsOf(text)).toEqual([`accounts.json: is not valid JSON (line ${line})`])
  })
})
