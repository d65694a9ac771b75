"""How long Redis may keep whoever asks it waiting, in seconds. (Not in config.py: to ask, nobody needs Celery.)"""

SOCKET_TIMEOUT = 5
CONNECT_TIMEOUT = 2
