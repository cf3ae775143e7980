-- The source stands in each branch: a CTE that is read thrice is kept, whole, in memory.
with

{% for resource in pod_resources() -%}
{{ resource }}_items as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        usage_type_prefix,
        instance_id,
        cluster_name,
        node_name,
        namespace,
        pod_name,
        pod_uid,
        workload_type,
        workload_name,
        deployment,
        {{ nearest_controller() }} as nearest_controller,
        labels,
        usage_hour,
        usage_hour::date as usage_date,
        '{{ resource }}' as resource,
        {{ resource }}_reserved_hours as reserved_hours,
        {{ resource }}_used_hours as used_hours,
        {{ resource }}_allocated_hours as allocated_hours,
        {{ resource ~ '_split_usage_ratio' if resource in resources() else 'null::double' }}
            as split_usage_ratio,
        {% for basis in bases() -%}
        {{ resource }}_{{ basis }}_split_usd as {{ basis }}_split_usd,
        {% if resource in resources() -%}
        {{ resource }}_{{ basis }}_unused_usd as {{ basis }}_unused_usd
        {%- else -%}
        ({{ zero_if_known(resource ~ '_' ~ basis ~ '_split_usd') }})::decimal(18, 10)
            as {{ basis }}_unused_usd
        {%- endif %}
        {{- ',' if not loop.last }}
        {% endfor %}
    from {{ source('split', 'pod_costs') }}
    {% if resource == 'accelerator' -%}
    where is_accelerated
    {%- elif resource == 'storage' -%}
    where instance_id is null and storage_allocated_hours is not null
    {%- endif %}

),

{% endfor -%}
final as (

    {% for resource in pod_resources() -%}
    select * from {{ resource }}_items
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select * from final
