vim9script
# SPDX-License-Identifier: MIT
# Completion by a language model on this machine: after a pause in insert mode, what the model would write next stands as a ghost at the
# cursor. Tab takes it; whatever else is typed drops it, and ends the model's work on it. Needs Vim 9.0.185 and the program llm_complete.
#
#   :LlmComplete on | off | status
#   g:llm_complete_program   the program (llm_complete)         g:llm_complete_pause    milliseconds without a key (150)
#   g:llm_complete_model     a GGUF file (the model in the box)  g:llm_complete_tokens   of an answer, at most (48)
#   g:llm_complete_lines     1: to the line's end (usual); 0: as many lines as the model likes
#   g:llm_complete_auto      1: on from the start

if exists('g:loaded_llm_complete')
    finish
endif
g:loaded_llm_complete = 1

const BOX = expand('<sfile>:p:h:h:h') .. '/box/box-q8_0.gguf'
const BLOCK = 500               # lines: see Ask()
const AFTER = 200               # lines after the cursor that the model is told

var job: job
var ready: dict<any> = {}       # what the program said of its model; empty: not loaded yet
var number = 0                  # of the last request; answers to any other are stale
var busy = false                # it has not had its last word
var asked: list<number> = []    # where: [buffer, line, column]
var ghost = ''
var pause = -1                  # the timer
var last: dict<any> = {}        # the last word on a request: what LlmCompleteInfo() tells

highlight default LlmGhost ctermfg=244 guifg=#8a8a8a cterm=italic gui=italic

def Place(): list<number>
    return [bufnr(), line('.'), col('.')]
enddef

def Warn(text: string)
    echohl WarningMsg
    echomsg 'llm_complete: ' .. text
    echohl None
enddef

# ---- the ghost

def Hide()
    ghost = ''
    if !empty(asked) && bufexists(asked[0])
        prop_remove({type: 'LlmGhost', bufnr: asked[0], all: true})
    endif
enddef

def Show(text: string)
    Hide()
    ghost = text
    const lines = split(ghost, "\n", true)
    if lines[0] != ''
        prop_add(asked[1], asked[2], {type: 'LlmGhost', text: lines[0]})
    endif
    for more in lines[1 : ]
        prop_add(asked[1], 0, {type: 'LlmGhost', text: more == '' ? ' ' : more, text_align: 'below'})
    endfor
    redraw
enddef

# Tab: takes the ghost, or is a Tab.
def Take(): string
    return ghost == '' || Place() != asked ? "\<Tab>" : "\<Cmd>call " .. expand('<SID>') .. "Insert()\<CR>"
enddef

def Insert()
    const rest = strpart(getline('.'), col('.') - 1)
    const lines = split(strpart(getline('.'), 0, col('.') - 1) .. ghost .. rest, "\n", true)
    Drop()
    setline('.', lines[0])
    append('.', lines[1 : ])
    cursor(line('.') + len(lines) - 1, len(lines[-1]) - len(rest) + 1)
enddef

# ---- requests and answers

def Say(message: dict<any>)
    ch_sendraw(job_getchannel(job), json_encode(message) .. "\n")
enddef

# No ghost, nothing asked, nobody working.
def Drop()
    timer_stop(pause)
    Hide()
    asked = []
    if busy
        busy = false
        Say({cancel: true})
    endif
enddef

# What stands before the cursor begins at a line of 500, 1000 and so on: so it begins with the same words from key to key, and the
# program, which keeps what the model has taken in, has only the new ones to do.
def Ask(_: number)
    if mode() !~ '^i' || pumvisible() || &buftype != '' || empty(ready)
        return
    endif
    const before = strpart(getline('.'), 0, col('.') - 1)
    const after = strpart(getline('.'), col('.') - 1)
    if after !~ '^\s*$' && !ready.fim           # within a line only a model that can fill in is of use
        return
    endif
    const begin = max([1, (line('.') / BLOCK - 1) * BLOCK + 1])
    asked = Place()
    number += 1
    busy = true
    Say({id: number, max_tokens: g:llm_complete_tokens, one_line: g:llm_complete_lines == 1 ? true : false,
        prefix: join(getline(begin, line('.') - 1) + [before], "\n"),
        suffix: join([after] + getline(line('.') + 1, line('.') + AFTER), "\n")})
enddef

def Heard(_: channel, line: string)
    const said: dict<any> = json_decode(line)
    if said->has_key('ready')
        ready = said
    elseif said->has_key('error')
        busy = busy && said->get('id') != number
        Warn(said.error)
    elseif said.id == number && !empty(asked)
        if said->has_key('text')
            Show(ghost .. said.text)
        elseif said->has_key('end')
            busy = false
            last = said
        endif
    elseif said->get('end', '') == 'cancelled'
        last = said
    endif
enddef

def Typed()
    Drop()
    pause = timer_start(g:llm_complete_pause, Ask)
enddef

def Moved()
    if !empty(asked) && Place() != asked
        Drop()
    endif
enddef

# ---- on and off

def On()
    if !has('patch-9.0.185')
        Warn('needs Vim 9.0.185 or later')
    elseif !executable(g:llm_complete_program)
        Warn($'there is no program "{g:llm_complete_program}": build it (examples/editor/README.md) and set g:llm_complete_program')
    elseif job_status(job) != 'run'
        ready = {}
        busy = false
        job = job_start([g:llm_complete_program, g:llm_complete_model], {out_cb: Heard, err_cb: (_, line) => Warn(line), noblock: 1})
        if empty(prop_type_get('LlmGhost'))
            prop_type_add('LlmGhost', {highlight: 'LlmGhost'})
        endif
        augroup llm_complete
            autocmd!
            autocmd TextChangedI,InsertEnter * Typed()
            autocmd TextChangedP,InsertLeave,BufLeave * Drop()
            autocmd CursorMovedI * Moved()
        augroup END
        inoremap <expr> <silent> <Tab> <SID>Take()
    endif
enddef

def Off()
    if job_status(job) == 'run'
        Drop()
        autocmd! llm_complete
        iunmap <Tab>
        job_stop(job)
    endif
enddef

def Status()
    if job_status(job) != 'run'
        echo 'llm_complete: off'
    elseif empty(ready)
        echo 'llm_complete: loading ' .. g:llm_complete_model
    else
        echo $'llm_complete: {ready.model}{ready.fim ? ", fills in" : ""}; last answer: {last->get("tokens", 0)} tokens in {last->get("ms", 0)} ms, {last->get("new", 0)} new of {last->get("prompt", 0)} before'
    endif
enddef

def Command(word: string)
    if word == 'on'
        On()
    elseif word == 'off'
        Off()
    else
        Status()
    endif
enddef

# For status lines, and tests.
def g:LlmCompleteInfo(): dict<any>
    return {on: job_status(job) == 'run', ready: ready, busy: busy, number: number, ghost: ghost, last: last}
enddef

g:llm_complete_program = get(g:, 'llm_complete_program', 'llm_complete')
g:llm_complete_model = get(g:, 'llm_complete_model', BOX)
g:llm_complete_pause = get(g:, 'llm_complete_pause', 150)
g:llm_complete_tokens = get(g:, 'llm_complete_tokens', 48)
g:llm_complete_lines = get(g:, 'llm_complete_lines', 1)

command! -nargs=? -complete=customlist,s:Words LlmComplete Command(<q-args>)
def Words(..._): list<string>
    return ['off', 'on', 'status']
enddef

if get(g:, 'llm_complete_auto', 0)
    On()
endif
