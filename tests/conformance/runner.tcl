# Runs Redis's Tcl suite (7.0) against a server that answers as 7.2: `tclsh runner.tcl CHANGES ARGUMENTS`, in the
# suite's folder, where ARGUMENTS are its own. The suite is not touched: a unit's text is altered on its way from
# the file to the interpreter, as the file CHANGES says, so that a test asserts what is right here instead of
# being left out. With CHANGES empty the suite runs as it is. How CHANGES says it stands in `changed`.

set changes_file [lindex $argv 0]

# The changes of one unit: a list of {tests old new}, old and new as lists of lines.
proc changes_of {unit} {
    set changes {}
    set tests {}
    set old {}
    set new {}
    set ours 0
    set file [open $::changes_file]
    # The empty line behind the last one ends it.
    set lines [concat [split [read $file] "\n"] {{}}]
    close $file
    foreach line $lines {
        set mark [string index $line 0]
        set text [string range $line 2 end]
        if {$mark ni {- +} || ($mark eq "-" && $new ne {})} {
            if {$old ne {}} { lappend changes [list $tests $old $new] }
            set old {}
            set new {}
        }
        if {$mark eq {[}} {
            set ours [expr {$line eq "\[$unit\]"}]
        } elseif {!$ours || $mark in {{} "#"}} {
            set tests {}
        } elseif {$mark eq "@"} {
            lappend tests $text
        } elseif {$mark eq "-"} {
            lappend old $text
        } elseif {$mark eq "+"} {
            lappend new $text
        } else {
            error "changed has a line that begins with none of \[ # @ - +: $line"
        }
    }
    return $changes
}

# Where a test of this name begins and ends in the unit's text.
proc extent_of {name text} {
    if {$name eq {}} { return [list 0 [string length $text]] }
    foreach opening [list "test \{$name\}" "test \"$name\""] {
        set first [string first $opening $text]
        if {$first >= 0} break
    }
    if {$first < 0} { error "changed names a test that is not there: $name" }
    set body [expr {$first + [string length $opening]}]
    if {[regexp -start $body -indices {\n[ \t]*test [\{\"]} $text next]} {
        return [list $first [lindex $next 0]]
    }
    return [list $first [string length $text]]
}

# Lines as they stand in a unit, whatever their indentation.
proc pattern_of {lines} {
    set escaped {}
    foreach line $lines {
        lappend escaped [regsub -all {[][*+?.(){}^$|\\]} $line {\\&}]
    }
    return [join $escaped {[ \t]*\n[ \t]*}]
}

proc change {unit text} {
    foreach change [changes_of $unit] {
        lassign $change tests old new
        if {$tests eq {}} { error "changed: of which test of $unit is [lindex $old 0]?" }
        set pattern [pattern_of $old]
        set replacement [string map {\\ \\\\ & \\&} [join $new "\n"]]
        foreach name $tests {
            lassign [extent_of $name $text] first last
            set body [string range $text $first $last]
            if {[regsub -all -- $pattern $body $replacement body] == 0} {
                error "changed: not in test $name of $unit: [join $old { / }]"
            }
            set text [string replace $text $first $last $body]
        }
    }
    return $text
}

# A command of a test's that must be refused, where Redis takes what it asks for and aborts on it later.
proc refused {args} { assert_error {*Bad data format*} $args }

# Small lists and sets are packed since 7.2: there a test of 7.0 finds "listpack". All else is compared as it is.
proc compare_encodings_as_7.2 {} {
    proc assert_encoding {expected key} {
        set encoding [r object encoding $key]
        if {$encoding eq "listpack" && "[r type $key] $expected" in {"list quicklist" "set hashtable"}} { return }
        assert_match $expected $encoding
    }
}

# Redis has changed the manifest when it answers; here the disk's thread does it, and is done soon.
proc wait_for_manifests {} {
    catch { rename assert_aof_manifest_content_now {} }
    rename assert_aof_manifest_content assert_aof_manifest_content_now
    proc assert_aof_manifest_content {path content} {
        for {set tries 0} {$tries < 100} {incr tries} {
            if {![catch {assert_aof_manifest_content_now $path $content}]} { return }
            after 50
        }
        assert_aof_manifest_content_now $path $content
    }
}

rename source original_source
proc source {path} {
    if {$::changes_file eq {} || ![regexp {^tests/((?:unit|integration)/.*)\.tcl$} $path -> unit]} {
        set result [uplevel 1 [list original_source $path]]
        if {$::changes_file ne {} && $path eq "tests/support/aofmanifest.tcl"} { wait_for_manifests }
        return $result
    }
    compare_encodings_as_7.2
    set file [open $path]
    set text [read $file]
    close $file
    uplevel 1 [change $unit $text]
}

# Not sourced: the suite starts its clients as `[info script] $argv`, and these shall read this file, too.
set file [open tests/test_helper.tcl]
set helper [read $file]
close $file
set argv [lrange $argv 1 end]
set helper [string map [list {[info script] {*}$::argv} {[info script] $::changes_file {*}$::argv}] $helper]
eval $helper
