{%- set roll_ups = [
    'rpt_month_by_team', 'rpt_month_by_model', 'rpt_month_by_namespace',
    'rpt_month_by_workload',
] -%}
with

{{ told_bases() }},

{{ sums_by_payer('charges', ref('fct_charges'), 'bill_payer_account_id') }},

rolled_up as (

    {% for roll_up in roll_ups -%}
    select
        '{{ roll_up }}' as roll_up,
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        sum(
            {% for type in charge_types() -%}
            {{ basis }}_{{ type }}_usd{{ ' + ' if not loop.last }}
            {%- endfor %}
        ) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref(roll_up) }}
    group by billing_month, payer_account_id
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

compared as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        listed.roll_up,
        coalesce({{ of_basis('charges') }}, 0)::decimal(38, 10) as expected_usd,
        coalesce({{ of_basis('rolled_up') }}, 0)::decimal(38, 10) as actual_usd
    from bases
    cross join
        (
            values
            {% for roll_up in roll_ups -%}
            ('{{ roll_up }}'){{ ',' if not loop.last }}
            {% endfor %}
        ) as listed (roll_up)
    left join charges
        on
            bases.billing_month = charges.billing_month
            and bases.payer_account_id = charges.payer_account_id
    left join rolled_up
        on
            bases.billing_month = rolled_up.billing_month
            and bases.payer_account_id = rolled_up.payer_account_id
            and listed.roll_up = rolled_up.roll_up

),

{{ worst_of_compared('roll_up', 'roll-ups') }}

select * from final
