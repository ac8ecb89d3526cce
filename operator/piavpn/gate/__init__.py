"""`piavpn gate`: first init container of a confined pod; it ends only when nothing can leak.

Started once for each pod, so it imports the standard library's small modules alone.
"""
